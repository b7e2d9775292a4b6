package monitoring

import (
	"github.com/prometheus/client_golang/prometheus"

	"gatehouse/pool"
)

// WatchPool exports the snapshots of a pool of connections, in the words of
// database/sql.DBStats.
func (m *Metrics) WatchPool(stats func() pool.Stats) { m.registry.MustRegister(poolCollector{stats}) }

type poolCollector struct{ stats func() pool.Stats }

// poolMetric is one figure of an endpoint.
type poolMetric struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(pool.EndpointStats) float64
}

func endpointMetric(name, help string, kind prometheus.ValueType, value func(pool.EndpointStats) float64) poolMetric {
	return poolMetric{prometheus.NewDesc("gatehouse_pool_"+name, help, []string{"backend"}, nil), kind, value}
}

var endpointMetrics = []poolMetric{
	endpointMetric("max_open_connections", "Connections that the pool keeps to a backend.", prometheus.GaugeValue,
		func(s pool.EndpointStats) float64 { return float64(s.MaxOpenConnections) }),
	endpointMetric("open_connections", "Connections open now.", prometheus.GaugeValue,
		func(s pool.EndpointStats) float64 { return float64(s.OpenConnections) }),
	endpointMetric("in_use_connections", "Connections with at least one call in progress.", prometheus.GaugeValue,
		func(s pool.EndpointStats) float64 { return float64(s.InUse) }),
	endpointMetric("idle_connections", "Connections with no call in progress.", prometheus.GaugeValue,
		func(s pool.EndpointStats) float64 { return float64(s.Idle) }),
	endpointMetric("in_flight_calls", "Calls that the backend owes an answer to, those given up among them.", prometheus.GaugeValue,
		func(s pool.EndpointStats) float64 { return float64(s.InFlight) }),
	endpointMetric("ejected", "1 while the backend is left out because its calls failed.", prometheus.GaugeValue,
		func(s pool.EndpointStats) float64 {
			if s.Ejected {
				return 1
			}
			return 0
		}),
	endpointMetric("wait_count_total", "Calls that had to wait for a slot.", prometheus.CounterValue,
		func(s pool.EndpointStats) float64 { return float64(s.WaitCount) }),
	endpointMetric("wait_duration_seconds_total", "The sum of their waits.", prometheus.CounterValue,
		func(s pool.EndpointStats) float64 { return s.WaitDuration.Seconds() }),
	endpointMetric("max_lifetime_closed_total", "Connections replaced because of their age.", prometheus.CounterValue,
		func(s pool.EndpointStats) float64 { return float64(s.MaxLifetimeClosed) }),
	endpointMetric("dials_total", "Connections begun to be made.", prometheus.CounterValue,
		func(s pool.EndpointStats) float64 { return float64(s.Dials) }),
	endpointMetric("dial_errors_total", "Connections that could not be made.", prometheus.CounterValue,
		func(s pool.EndpointStats) float64 { return float64(s.DialErrors) }),
	endpointMetric("ejections_total", "Times that the backend was left out.", prometheus.CounterValue,
		func(s pool.EndpointStats) float64 { return float64(s.Ejections) }),
}

var (
	waitingDesc = prometheus.NewDesc("gatehouse_pool_waiting_calls", "Calls that wait for a slot now.", nil, nil)
	refusedDesc = prometheus.NewDesc("gatehouse_pool_refused_total", "Calls that got no connection.", []string{"reason"}, nil)
)

// Describe implements prometheus.Collector.
func (c poolCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range endpointMetrics {
		ch <- m.desc
	}
	ch <- waitingDesc
	ch <- refusedDesc
}

// Collect implements prometheus.Collector.
func (c poolCollector) Collect(ch chan<- prometheus.Metric) {
	s := c.stats()
	for _, e := range s.Endpoints {
		for _, m := range endpointMetrics {
			ch <- prometheus.MustNewConstMetric(m.desc, m.kind, m.value(e), e.Endpoint)
		}
	}
	ch <- prometheus.MustNewConstMetric(waitingDesc, prometheus.GaugeValue, float64(s.Waiting))
	ch <- prometheus.MustNewConstMetric(refusedDesc, prometheus.CounterValue, float64(s.Busy), "busy")
	ch <- prometheus.MustNewConstMetric(refusedDesc, prometheus.CounterValue, float64(s.Unavailable), "unavailable")
}
