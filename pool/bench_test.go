package pool_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"gatehouse/pool"
)

// BenchmarkDo measures getting and giving back with 1000 goroutines on 64
// slots. Each call yields once, as one that waits for an answer does, so that
// most of the goroutines are in the queue.
func BenchmarkDo(b *testing.B) {
	for _, size := range []int{1, 4, 64} {
		b.Run(fmt.Sprintf("%d connections of %d", size, 64/size), func(b *testing.B) {
			p := pool.New(pool.Config[*conn]{
				Endpoints: pool.Fixed("a"), Dial: (&farEnd{}).dial,
				Size: size, InFlight: 64 / size, MaxWait: time.Minute,
			})
			b.Cleanup(func() { p.Close() })
			b.ReportAllocs()
			b.SetParallelism((1000 + runtime.GOMAXPROCS(0) - 1) / runtime.GOMAXPROCS(0))
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					err := p.Do(b.Context(), func(*conn) error { runtime.Gosched(); return nil })
					if err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}
