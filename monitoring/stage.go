package monitoring

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// A request's stages, in the order in which it meets them. Stages of a tier
// that stand under another are parts of it.
//
//	webserver   http            the whole request
//	              pool_get      wait for a slot on a connection
//	              send          encode the packet and queue it
//	              round_trip    until the reply is there
//	              pool_put      give the slot back
//	              render        make the page
//	              picture       check and encode, or store, a picture
//	backend     queue           from the frame's arrival to a place in its lane
//	            handle          the whole of the work
//	              cache_hit     records found in the cache
//	              cache_miss    records not found there, the database read included
//	              cache_fill    write to the cache
//	              cache_mark, cache_unmark   before and after a change
//	              db_get_user, db_get_session, db_put_session, db_update_user
//	              password_wait, password_verify
//	            encode          encode the reply and queue it
const (
	StageHTTP      = "http"
	StagePoolGet   = "pool_get"
	StageSend      = "send"
	StageRoundTrip = "round_trip"
	StagePoolPut   = "pool_put"

	StagePasswordWait   = "password_wait"
	StagePasswordVerify = "password_verify"
	StageEncode         = "encode"
)

// The tiers.
const (
	Webserver = "webserver"
	Backend   = "backend"
)

// stageBuckets are the classic buckets, in seconds: from 50 µs, about three
// to a factor of ten.
var stageBuckets = []float64{50e-6, 100e-6, 200e-6, 300e-6, 500e-6, 750e-6, 1e-3, 1.5e-3, 2e-3, 3e-3, 4e-3, 5e-3, 7.5e-3,
	10e-3, 15e-3, 20e-3, 30e-3, 50e-3, 75e-3, 100e-3, 150e-3, 200e-3, 300e-3, 500e-3, 1, 2, 5, 10}

// stages is the histogram of all stages, with its children at hand: finding
// one by its labels costs more than observing it.
type stages struct {
	histogram *prometheus.HistogramVec
	children  sync.Map // stageKey → prometheus.Observer
}

type stageKey struct{ tier, stage, op string }

func newStages() *stages {
	return &stages{histogram: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:                            "gatehouse_stage_duration_seconds",
		Help:                            "How long each stage of a request took, by tier, stage and operation.",
		Buckets:                         stageBuckets,
		NativeHistogramBucketFactor:     1.1,
		NativeHistogramMaxBucketNumber:  160,
		NativeHistogramMinResetDuration: time.Hour,
	}, []string{"tier", "stage", "op"})}
}

// Stage records that a stage of an operation took so long. op must be one of
// the program's own names, never what a client sent.
func (m *Metrics) Stage(tier, stage, op string, took time.Duration) {
	key := stageKey{tier, stage, op}
	child, ok := m.stages.children.Load(key)
	if !ok {
		child, _ = m.stages.children.LoadOrStore(key, m.stages.histogram.WithLabelValues(tier, stage, op))
	}
	child.(prometheus.Observer).Observe(took.Seconds())
}
