package stresstest_test

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"gatehouse/protocol"
	"gatehouse/stresstest"
)

// BenchmarkRequest is what a request costs the driver, that of a target which
// does nothing and runs in the same process included.
func BenchmarkRequest(b *testing.B) {
	body := []byte(`{"id":"1","username":"user00000001","nickname":"User 00000001","picture_url":null,"version":1,"created_at":"2026-01-01T00:00:00Z"}` + "\n")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Write(body)
	}))
	defer server.Close()
	l := listen(b, protocol.ServerConfig{Handler: protocol.NewMux(newBackend(1).handlers()...)})
	for name, target := range map[string]string{"http": server.URL, "tcp": l} {
		b.Run(name, func(b *testing.B) {
			m, err := stresstest.ParseMix("profile=1")
			if err != nil {
				b.Fatal(err)
			}
			worker, stop, err := stresstest.Workers(b.Context(), stresstest.Config{Target: target, Users: 1, Mix: m, SessionKey: sessionKey})
			if err != nil {
				b.Fatal(err)
			}
			defer stop()
			b.ReportAllocs()
			var workers, next atomic.Int64
			b.RunParallel(func(pb *testing.PB) {
				send := worker(int(workers.Add(1)) - 1)
				for pb.Next() {
					if err := send(next.Add(1)); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}
