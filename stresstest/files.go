package stresstest

import "fmt"

// otherFiles is how many files a run needs beside the connections of its
// workers.
const otherFiles = 64

// checkFiles tells that there cannot be a connection for every worker when
// this process may open so many files; 0 is not known.
func checkFiles(workers int, limit uint64) error {
	if need := uint64(workers + otherFiles); limit > 0 && limit < need {
		return fmt.Errorf("workers %d: each has a connection of its own, and this process may open only %d files: want %d (see ulimit -n) or fewer workers",
			workers, limit, need)
	}
	return nil
}
