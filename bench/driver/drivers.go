package main

import (
	"context"
	"net/http"
	"syscall"
	"time"

	"gatehouse/stresstest"

	vegetalib "github.com/tsenart/vegeta/v12/lib"
)

// gatehouse sends with our driver, which checks every answer.
func gatehouse(target string, s settings) (m measured, err error) {
	mix, err := stresstest.ParseMix("profile=1")
	if err != nil {
		return m, err
	}
	before := processorTime()
	report, err := stresstest.Run(context.Background(), stresstest.Config{Target: target, Rate: s.rate, Duration: s.duration,
		Workers: s.workers, Users: account, Mix: mix, SessionKey: sessionKey})
	if err != nil {
		return m, err
	}
	return measured{Sent: report.Total.Count, Failed: report.Total.Count - report.Total.Succeeded, Seconds: report.DurationS,
		CPU: (processorTime() - before).Seconds(), P50: report.Total.Latency.P50, P99: report.Total.Latency.P99}, nil
}

// vegeta sends the same requests with vegeta, which looks at the status only.
// Its latency counts from when a worker took the request.
func vegeta(target string, s settings) (m measured, err error) {
	attacker := vegetalib.NewAttacker(vegetalib.Workers(uint64(s.workers)), vegetalib.MaxWorkers(uint64(s.workers)),
		vegetalib.Connections(s.workers), vegetalib.KeepAlive(true), vegetalib.HTTP2(false), vegetalib.MaxBody(64<<10))
	targeter := vegetalib.NewStaticTargeter(vegetalib.Target{Method: http.MethodGet, URL: target + "/api/v1/profile",
		Header: http.Header{"Authorization": {"Bearer " + stresstest.Token(sessionKey, account)}}})
	before := processorTime()
	var metrics vegetalib.Metrics
	for result := range attacker.Attack(targeter, vegetalib.Rate{Freq: int(s.rate), Per: time.Second}, s.duration, "comparison") {
		metrics.Add(result)
	}
	metrics.Close()
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return measured{Sent: int64(metrics.Requests), Failed: int64(float64(metrics.Requests)*(1-metrics.Success) + 0.5), Seconds: metrics.Duration.Seconds(),
		CPU: (processorTime() - before).Seconds(), P50: ms(metrics.Latencies.P50), P99: ms(metrics.Latencies.P99)}, nil
}

// processorTime is what this process has used.
func processorTime() time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		panic(err) // it takes no argument that could be wrong
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
