package matrix

// publishedNote says where the numbers of the original system stand, and what
// is not alike.
const publishedNote = "The original's numbers are those of the README of https://github.com/nicktohzyu/user-data-management: " +
	"whole milliseconds, on another machine, of requests that compared passwords kept as plain text; with the cache, of 1000 users, kept for 60 s. " +
	"Where no pool of its sizes was measured, the largest that was stands beside it; of several sizes the least and the greatest median do. " +
	"Its requests all updated the token; here that is measured by the logins alone."

// published is one number that the original system's README gives.
type published struct {
	cache    bool
	pools    [2]int // from, to
	workers  int
	rate     float64 // 0 where it is not said
	of       metric
	original string // in milliseconds, or percent for a rate of misses
}

// publishedNumbers are the 99th percentiles, and the rates of misses, that
// the original published: no cache with 50 and with 1000 workers, and Redis
// with 1000 connections, 1000 workers and 1000 users.
var publishedNumbers = []published{
	{false, [2]int{50, 400}, 50, 0, roundTrip, "8–9"},
	{false, [2]int{50, 400}, 50, 0, dbGet, "4–6"},
	{false, [2]int{50, 400}, 50, 0, tokenUpdate, "5"},
	{false, [2]int{100, 1000}, 1000, 1000, roundTrip, "9"},
	{false, [2]int{100, 1000}, 1000, 1000, dbGet, "6"},
	{false, [2]int{100, 1000}, 1000, 1000, tokenUpdate, "3–7"},
	{true, [2]int{1000, 1000}, 1000, 1000, roundTrip, "4"},
	{true, [2]int{1000, 1000}, 1000, 2000, roundTrip, "4"},
	{true, [2]int{1000, 1000}, 1000, 3000, roundTrip, "3"},
	{true, [2]int{1000, 1000}, 1000, 4000, roundTrip, "2"},
	{true, [2]int{1000, 1000}, 1000, 1000, cacheHit, "7"},
	{true, [2]int{1000, 1000}, 1000, 2000, cacheHit, "2"},
	{true, [2]int{1000, 1000}, 1000, 3000, cacheHit, "2"},
	{true, [2]int{1000, 1000}, 1000, 4000, cacheHit, "2"},
	{true, [2]int{1000, 1000}, 1000, 1000, cacheMiss, "3"},
	{true, [2]int{1000, 1000}, 1000, 2000, cacheMiss, "10"},
	{true, [2]int{1000, 1000}, 1000, 3000, cacheMiss, "9"},
	{true, [2]int{1000, 1000}, 1000, 4000, cacheMiss, "4"},
	{true, [2]int{1000, 1000}, 1000, 1000, missRatio, "1.8"},
	{true, [2]int{1000, 1000}, 1000, 2000, missRatio, "0.83"},
	{true, [2]int{1000, 1000}, 1000, 3000, missRatio, "0.6"},
	{true, [2]int{1000, 1000}, 1000, 4000, missRatio, "0.43"},
}

// like returns the cells that were measured under the load of a published
// number: with the same cache setting, workers and rate, and with a pool of
// its sizes, or where there is none, with the largest pool. The original
// updated tokens at every rate; here that is measured by logins alone.
func (r *Result) like(p published) (cells []Measured) {
	var largest []Measured
	for _, m := range r.Cells {
		c := m.Cell
		logins := p.of.name == tokenUpdate.name
		if c.Cache != p.cache || c.Logins != logins || !logins && (c.Workers != p.workers || p.rate != 0 && c.Rate != p.rate) {
			continue
		}
		if len(largest) > 0 && c.Pool > largest[0].Cell.Pool {
			largest = nil
		}
		if len(largest) == 0 || c.Pool == largest[0].Cell.Pool {
			largest = append(largest, m)
		}
		if c.Pool >= p.pools[0] && c.Pool <= p.pools[1] {
			cells = append(cells, m)
		}
	}
	if len(cells) == 0 {
		return largest
	}
	return cells
}
