package stresstest

import (
	"cmp"
	"maps"
	"math"
	"slices"
)

// Stage is what a tier says of one step of the requests of a run. Its
// percentiles are estimated from buckets, as PromQL's histogram_quantile
// does, so they can be no finer than these are.
type Stage struct {
	Tier  string `json:"tier"`
	Stage string `json:"stage"`
	Op    string `json:"op"`
	// Count is how many requests passed the stage.
	Count int64   `json:"count"`
	P50   float64 `json:"p50_ms"`
	P99   float64 `json:"p99_ms"`
}

// stageOrder is the order in which a request meets the tiers and stages.
// Others come after these.
var stageOrder = []string{
	"webserver", "http", "pool_get", "send", "round_trip", "pool_put", "render", "picture",
	"backend", "queue", "handle", "cache_hit", "cache_miss", "cache_fill", "cache_mark", "cache_unmark", "db_get_user",
	"db_get_session", "db_put_session", "db_update_user", "password_wait", "password_verify", "encode",
}

// stagesBetween returns what passed through each stage between two scrapes.
// Stages that nothing passed are left out.
func stagesBetween(before, after stageCounts) []Stage {
	stages := []Stage{}
	for key, now := range after {
		h := bucketsBetween(before[key], now)
		if count := h[math.Inf(1)]; count > 0 {
			stages = append(stages, Stage{Tier: key.tier, Stage: key.stage, Op: key.op, Count: int64(math.Round(count)),
				P50: 1000 * h.quantile(0.5), P99: 1000 * h.quantile(0.99)})
		}
	}
	slices.SortFunc(stages, func(a, b Stage) int {
		return cmp.Or(cmp.Compare(place(a.Tier), place(b.Tier)), cmp.Compare(a.Tier, b.Tier),
			cmp.Compare(place(a.Stage), place(b.Stage)), cmp.Compare(a.Stage, b.Stage), cmp.Compare(a.Op, b.Op))
	})
	return stages
}

// place returns where a name stands in stageOrder.
func place(name string) int {
	if i := slices.Index(stageOrder, name); i >= 0 {
		return i
	}
	return len(stageOrder)
}

// bucketsBetween returns what was counted between two scrapes. A process
// that was restarted in between has less than before, and has counted all of
// it since.
func bucketsBetween(before, after buckets) buckets {
	if after[math.Inf(1)] < before[math.Inf(1)] {
		before = nil
	}
	h := make(buckets, len(after))
	for bound, n := range after {
		h[bound] = n - before[bound]
	}
	return h
}

// quantile estimates the q-quantile, in seconds: the observations in a bucket
// are taken to lie evenly between its bounds. What lies beyond the last
// finite bound is told as that bound.
func (h buckets) quantile(q float64) float64 {
	rank := q * h[math.Inf(1)]
	low, below := 0.0, 0.0
	for _, high := range slices.Sorted(maps.Keys(h)) {
		count := h[high]
		if count < rank || count == below {
			low, below = high, count
			continue
		}
		if math.IsInf(high, 1) {
			break
		}
		return low + (high-low)*(rank-below)/(count-below)
	}
	return low
}
