package matrix

import (
	"slices"

	"gatehouse/stresstest"
)

// A metric is one number of a report: a column of a table.
type metric struct {
	// Name is the heading, in the words of the original system where it has
	// one.
	name string
	of   func(*stresstest.Report) (value float64, ok bool)
}

// Packet types and tiers as the tiers' metrics name them.
const (
	getProfile    = "get_profile"
	updateProfile = "update_profile"
	logIn         = "login"
	webserver     = "webserver"
	backend       = "backend"
)

// The metrics by what they are of. The 99th percentiles of stages are those
// of one packet type: percentiles of several cannot be joined to one.
var (
	roundTrip   = stage("round trip", webserver, getProfile, "round_trip")
	poolGet     = stage("pool get", webserver, getProfile, "pool_get")
	send        = stage("send", webserver, getProfile, "send")
	free        = stage("free", webserver, getProfile, "pool_put")
	cacheHit    = stage("cache hit", backend, getProfile, "cache_hit")
	cacheMiss   = stage("cache miss", backend, getProfile, "cache_miss")
	cacheFill   = stage("cache fill", backend, getProfile, "cache_fill")
	dbGet       = stage("DB get user metadata", backend, getProfile, "db_get_session", "db_get_user")
	dbUpdate    = stage("DB update", backend, updateProfile, "db_update_user")
	loginTrip   = stage("round trip", webserver, logIn, "round_trip")
	loginGet    = stage("DB get user metadata", backend, logIn, "db_get_user")
	tokenUpdate = stage("DB update token", backend, logIn, "db_put_session")
	hashWait    = stage("password wait", backend, logIn, "password_wait")
	hashVerify  = stage("password verify", backend, logIn, "password_verify")

	achieved  = metric{"achieved/s", func(r *stresstest.Report) (float64, bool) { return r.RateAchieved, true }}
	driverP50 = metric{"driver p50", latency(func(p stresstest.Percentiles) float64 { return p.P50 })}
	driverP99 = metric{"driver p99", latency(func(p stresstest.Percentiles) float64 { return p.P99 })}
	hitRatio  = metric{"hit ratio %", func(r *stresstest.Report) (float64, bool) {
		hits, misses := passed(r, backend, getProfile, "cache_hit"), passed(r, backend, getProfile, "cache_miss")
		return 100 * float64(hits) / float64(max(1, hits+misses)), hits+misses > 0
	}}
	missRatio = metric{"miss rate %", func(r *stresstest.Report) (float64, bool) {
		hit, ok := hitRatio.of(r)
		return 100 - hit, ok
	}}
)

// stage is the 99th percentile of a stage. Of several that do the same work
// it is the one that more requests passed.
func stage(name, tier, op string, stages ...string) metric {
	return metric{name, func(r *stresstest.Report) (float64, bool) {
		var most stresstest.Stage
		for _, s := range r.Stages {
			if s.Tier == tier && s.Op == op && slices.Contains(stages, s.Stage) && s.Count > most.Count {
				most = s
			}
		}
		return most.P99, most.Count > 0
	}}
}

// passed returns how many requests passed a stage.
func passed(r *stresstest.Report, tier, op, stage string) (count int64) {
	for _, s := range r.Stages {
		if s.Tier == tier && s.Op == op && s.Stage == stage {
			count += s.Count
		}
	}
	return count
}

// latency is of all requests that were answered rightly, counted from when
// they were due.
func latency(of func(stresstest.Percentiles) float64) func(*stresstest.Report) (float64, bool) {
	return func(r *stresstest.Report) (float64, bool) { return of(r.Total.Latency), r.Total.Succeeded > 0 }
}

// Spread is what replicas have of one metric.
type Spread struct {
	Median float64 `json:"median"`
	// Deviation is half of what lies between the least and the greatest.
	Deviation float64 `json:"deviation"`
	// Values are those of the replicas in which something was measured, in
	// their order.
	Values []float64 `json:"values"`
}

// spread returns what the replicas of a cell have of a metric.
func (m Measured) spread(of metric) (s Spread) {
	for _, report := range m.Reports {
		if v, ok := of.of(report); ok {
			s.Values = append(s.Values, v)
		}
	}
	if len(s.Values) == 0 {
		return s
	}
	sorted := slices.Sorted(slices.Values(s.Values))
	middle := len(sorted) / 2
	s.Median = sorted[middle]
	if len(sorted)%2 == 0 {
		s.Median = (sorted[middle-1] + sorted[middle]) / 2
	}
	s.Deviation = (sorted[len(sorted)-1] - sorted[0]) / 2
	return s
}

// sum adds up a count over the replicas.
func (m Measured) sum(of func(*stresstest.Report) int64) (sum int64) {
	for _, report := range m.Reports {
		sum += of(report)
	}
	return sum
}

// codes are the failures of all replicas by code.
func (m Measured) codes() map[string]int64 {
	codes := map[string]int64{}
	for _, report := range m.Reports {
		for code, n := range report.Total.Errors {
			codes[code] += n
		}
	}
	return codes
}

func failures(r *stresstest.Report) int64 { return r.Total.Count - r.Total.Succeeded }
func wrong(r *stresstest.Report) int64    { return r.Wrong }
func notSent(r *stresstest.Report) int64  { return r.NotSent }
func requests(r *stresstest.Report) int64 { return r.Total.Count }
