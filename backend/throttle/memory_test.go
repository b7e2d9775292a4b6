package throttle_test

import (
	"runtime"
	"testing"
	"time"

	"gatehouse/backend/throttle"
)

// Many keys with one event each, over thirty in every set, must not make an exhausted one recover.
func TestCyclingKeysDoesNotResetAnother(t *testing.T) {
	t.Parallel()
	noon := time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
	th := throttle.New(throttle.Config{Now: func() time.Time { return noon }})
	for range 20 {
		if _, err := th.Register(home); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 150_000 {
		if _, err := th.Register(attacker(i)); err != nil {
			t.Fatalf("new address %d: %v", i, err)
		}
	}
	_, err := th.Register(home)
	wantLimited(t, err, throttle.Registration, 6*time.Second)
}

// A table that is full must go on limiting: of more exhausted keys than there are entries the newest is known.
func TestFullTableStillLimitsNewKeys(t *testing.T) {
	t.Parallel()
	noon := time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
	th := throttle.New(throttle.Config{Registrations: mustParse(t, "1/1h"), Now: func() time.Time { return noon }})
	for i := range 80_000 {
		for n := range 2 {
			if _, err := th.Register(attacker(i)); (err != nil) != (n == 1) {
				t.Fatalf("address %d, registration %d: %v", i, n, err)
			}
		}
	}
}

func TestMemoryIsBounded(t *testing.T) {
	th := throttle.New(throttle.Config{AccountFailures: mustParse(t, "off")})
	before := heap()
	for i := range 1_000_000 {
		if err := guess(th, attacker(i), "ada", nobody); err != nil {
			t.Fatalf("new address %d: %v", i, err)
		}
	}
	if grown := int64(heap()) - int64(before); grown > 256<<10 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
	runtime.KeepAlive(th)
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
