package stresstest

import "fmt"

const (
	// muchShare is from which part of the machine's processors on the driver
	// is likely in the way of what it measures.
	muchShare = 0.5
	// muchLag is from which lag on one request in a hundred tells more of the
	// driver's machine than of the target, in milliseconds.
	muchLag = 5
)

// warnings says where the numbers are likely the driver's own.
func (r *Report) warnings() (list []string) {
	if r.NotSent > 0 {
		list = append(list, fmt.Sprintf("%d requests were not sent, because all of the %d workers were busy: no latency tells of these", r.NotSent, r.Workers))
	}
	if r.DriverCPU.Share >= muchShare {
		list = append(list, fmt.Sprintf("the driver itself used %.0f %% of the machine's %d processors: it may be the limit", 100*r.DriverCPU.Share, r.DriverCPU.Processors))
	}
	if r.DriverLag.P99 >= muchLag {
		list = append(list, fmt.Sprintf("one request in a hundred was sent at least %s ms late although a worker was free: the driver's machine is short of processors",
			showMS(r.DriverLag.P99)))
	}
	return list
}
