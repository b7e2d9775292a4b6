// Package monitoring is the numbers of a process: which are kept, under which
// names, and the listener on which they are read. Code that does the work
// knows nothing of it: it offers hooks and snapshots, and the wiring joins
// the two. monitoring knows no tier.
package monitoring

import (
	"runtime"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Metrics are the numbers of one process.
type Metrics struct {
	registry *prometheus.Registry

	lateReplies, crosstalk, panics, marksLost prometheus.Counter
	audits, violations                        prometheus.Counter
	requests, packets                         *prometheus.CounterVec
	lookups, logins, shed                     *prometheus.CounterVec
	cacheEnabled, cacheEpoch                  prometheus.Gauge
	stages                                    *stages
	driver                                    driver
	driverOnce                                sync.Once
}

// Build says which build is running.
type Build struct{ Version, Revision string }

// New returns the Metrics of a process.
func New(b Build) *Metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		lateReplies: counter("gatehouse_link_late_replies_total",
			"Replies that came after their caller gave up, and were dropped."),
		crosstalk: counter("gatehouse_link_crosstalk_total",
			"Replies that belonged to another call or record than they claimed. Must stay 0."),
		panics: counter("gatehouse_panics_total", "Requests and packets that ended in a panic."),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "gatehouse_http_requests_total",
			Help: "HTTP requests answered."}, []string{"route", "method", "status"}),
		packets: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "gatehouse_packets_total",
			Help: "Packets answered, by packet type and code; ok where there was no error."}, []string{"type", "code"}),
	}
	m.marksLost = counter("gatehouse_cache_marks_lost_total",
		"Marks of changes that the cache forgot. Each may have let a read show what was older than a change.")
	m.audits = counter("gatehouse_audit_probes_total", "Records of the cache that were compared with the database.")
	m.violations = counter("gatehouse_audit_violations_total",
		"Records of the cache that were older than what the database had shown just before. Must stay 0.")
	m.cacheEnabled = prometheus.NewGauge(prometheus.GaugeOpts{Name: "gatehouse_cache_enabled",
		Help: "1 while this backend uses the cache."})
	m.cacheEpoch = prometheus.NewGauge(prometheus.GaugeOpts{Name: "gatehouse_cache_epoch",
		Help: "The epoch of the cache. It grows each time that the cache is given up."})
	m.stages = newStages()
	m.lookups = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "gatehouse_cache_lookups_total",
		Help: "Records looked up in the cache, by kind of record and result."}, []string{"record", "result"})
	m.logins = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "gatehouse_logins_total",
		Help: "Logins answered, by result: ok, or why not."}, []string{"result"})
	m.shed = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "gatehouse_shed_total",
		Help: "Calls refused because their lane, or the hashing behind it, was full."}, []string{"lane"})
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "gatehouse_build_info",
		Help: "Always 1; the labels say what is running."}, []string{"version", "revision", "goversion"})
	build.WithLabelValues(b.Version, b.Revision, runtime.Version()).Set(1)
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		build, m.lateReplies, m.crosstalk, m.panics, m.requests, m.packets, m.lookups, m.logins, m.shed, m.marksLost,
		m.cacheEnabled, m.cacheEpoch, m.audits, m.violations, m.stages.histogram)
	return m
}

// LateReply counts a reply that was dropped.
func (m *Metrics) LateReply() { m.lateReplies.Inc() }

// CrossTalk counts a reply that was not its call's.
func (m *Metrics) CrossTalk() { m.crosstalk.Inc() }

// Panic counts a panic that was recovered from.
func (m *Metrics) Panic() { m.panics.Inc() }

// Request counts an HTTP request. route must be one of the routes of the
// program, never what a client sent.
func (m *Metrics) Request(route, method, status string) {
	m.requests.WithLabelValues(route, method, status).Inc()
}

// Packet counts a packet. typ must be one of the packet types.
func (m *Metrics) Packet(typ, code string) { m.packets.WithLabelValues(typ, code).Inc() }

// Lookup counts a record looked up in the cache.
func (m *Metrics) Lookup(record, result string) { m.lookups.WithLabelValues(record, result).Inc() }

// Login counts a login that was answered.
func (m *Metrics) Login(result string) { m.logins.WithLabelValues(result).Inc() }

// Shed counts a call that was refused for want of capacity.
func (m *Metrics) Shed(lane string) { m.shed.WithLabelValues(lane).Inc() }

// Audited counts a record of the cache that was compared with the database.
func (m *Metrics) Audited(violated bool) {
	m.audits.Inc()
	if violated {
		m.violations.Inc()
	}
}

// Cache records whether the cache is used, and its epoch.
func (m *Metrics) Cache(used bool, epoch int64) {
	m.cacheEnabled.Set(0)
	if used {
		m.cacheEnabled.Set(1)
	}
	m.cacheEpoch.Set(float64(epoch))
}

// MarkLost counts a mark that the cache forgot.
func (m *Metrics) MarkLost() { m.marksLost.Inc() }
