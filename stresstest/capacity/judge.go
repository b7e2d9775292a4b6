package capacity

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"gatehouse/stresstest"
)

// judge tells whether a run kept its promises at the rate: its service levels,
// the rate itself but for a hundredth, nothing left unsent, and no answer
// wrong.
func judge(rate float64, r *stresstest.Report) Try {
	t := Try{Rate: rate, Report: r, Broken: []string{}}
	if r.Wrong > 0 {
		t.Broken = append(t.Broken, fmt.Sprintf("%d answers were wrong", r.Wrong))
	}
	for _, level := range r.Broken() {
		t.Broken = append(t.Broken, brokenLevel(level, r))
	}
	if r.RateAchieved < rate*(1-shortOfRate) {
		t.Broken = append(t.Broken, fmt.Sprintf("only %s of %s requests a second were reached", number(r.RateAchieved), number(rate)))
	}
	if r.NotSent > 0 {
		t.Broken = append(t.Broken, fmt.Sprintf("%d requests were not sent, because all workers of the driver were waiting for answers", r.NotSent))
	}
	t.Kept = len(t.Broken) == 0
	return t
}

// brokenLevel says what a service level reached, and of errors what they were.
func brokenLevel(level stresstest.SLOResult, r *stresstest.Report) string {
	if level.Actual == nil {
		return fmt.Sprintf("%s could not be measured%s", level.SLO, codes(r))
	}
	text := fmt.Sprintf("%s reached %s%s", level.SLO, number(*level.Actual), level.Unit)
	if level.Unit == "%" {
		text += codes(r)
	}
	return text
}

// codes lists how requests failed, in brackets.
func codes(r *stresstest.Report) string {
	var list []string
	for _, code := range slices.Sorted(maps.Keys(r.Total.Errors)) {
		list = append(list, fmt.Sprintf("%d %s", r.Total.Errors[code], code))
	}
	if len(list) == 0 {
		return ""
	}
	return " (" + strings.Join(list, ", ") + ")"
}

// number shows a number with at most two digits behind the point.
func number(x float64) string {
	return strings.TrimSuffix(strings.TrimRight(strconv.FormatFloat(x, 'f', 2, 64), "0"), ".")
}
