package monitoring

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// driver is the numbers of the load driver.
type driver struct {
	latency, service *prometheus.HistogramVec
	failures         *prometheus.CounterVec
}

// Driven records a request that the load driver measured: how long after it
// was due it was answered, and how long after it was sent. code is empty for a
// right answer.
func (m *Metrics) Driven(op, code string, latency, service time.Duration) {
	m.driverOnce.Do(m.addDriver)
	if code != "" {
		m.driver.failures.WithLabelValues(op, code).Inc()
		return
	}
	m.driver.latency.WithLabelValues(op).Observe(latency.Seconds())
	m.driver.service.WithLabelValues(op).Observe(service.Seconds())
}

func (m *Metrics) addDriver() {
	histogram := func(name, help string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: stageBuckets}, []string{"op"})
	}
	m.driver = driver{
		latency: histogram("gatehouse_stresstest_latency_seconds", "From when a request was due to its right answer."),
		service: histogram("gatehouse_stresstest_service_seconds", "From when a request was sent to its right answer."),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "gatehouse_stresstest_failures_total",
			Help: "Requests without a right answer."}, []string{"op", "code"}),
	}
	m.registry.MustRegister(m.driver.latency, m.driver.service, m.driver.failures)
}
