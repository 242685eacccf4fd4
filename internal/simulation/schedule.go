package simulation

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// fault is one entry of a schedule: after Wait, Kind happens and, for those that end by themselves, lasts For.
type fault struct {
	Wait time.Duration
	Kind kind
	For  time.Duration
	Who  int // drawn number; picks the target among those there are
	Whom int
}

type kind int

const (
	crashWorker      kind = iota // and restart it after For
	silenceWorker                // nothing reaches or leaves it for For
	oneWay                       // nothing from one host to another for For
	awayFromLeader               // one worker and one coordinator do not reach each other
	splitWorkers                 // the workers in two halves
	cutPair                      // two workers do not reach each other
	splitCluster                 // a minority of the coordinators, with the leader if it is there, and half the workers
	crashCoordinator             // and restart it
	crashAll                     // all coordinators
	crashAllWorkers              // nobody holds the state any more
	joinWorker
	slowWorker         // its seats take several times as long for For
	replaceCoordinator // by a new one, while all else goes on
	pauseJob           // by a person, who resumes it after For
	raiseJob           // a person gives a job another priority
	saveJob            // a person has a job save a checkpoint
	cancelJob          // a person cancels a job
	kinds
)

var kindNames = [kinds]string{"crash worker", "silence worker", "cut one way", "cut worker from a coordinator", "split workers", "cut a pair of workers", "split cluster",
	"crash coordinator", "crash all coordinators", "crash all workers", "add worker", "slow worker", "replace coordinator",
	"pause a job", "raise a job", "save a job", "cancel a job"}

func (k kind) String() string { return kindNames[k] }

func (f fault) String() string {
	return fmt.Sprintf("after %v: %v (%d, %d) for %v", f.Wait, f.Kind, f.Who, f.Whom, f.For)
}

// drawSchedule is a pure function of its random numbers. steered says whether people pause, save, prioritise and cancel jobs.
func drawSchedule(random *rand.Rand, faults int, steered bool) []fault {
	weights := [kinds]int{crashWorker: 8, silenceWorker: 3, oneWay: 3, awayFromLeader: 3, splitWorkers: 2, cutPair: 2, splitCluster: 2, crashCoordinator: 4,
		crashAll: 1, crashAllWorkers: 1, joinWorker: 2, slowWorker: 3, replaceCoordinator: 3}
	if steered {
		weights[pauseJob], weights[raiseJob], weights[saveJob], weights[cancelJob] = 6, 6, 4, 1
	}
	total := 0
	for _, w := range weights {
		total += w
	}
	out := make([]fault, faults)
	for i := range out {
		at := random.IntN(total)
		k := kind(0)
		for at >= weights[k] {
			at -= weights[k]
			k++
		}
		out[i] = fault{Wait: time.Duration(random.IntN(600)) * time.Millisecond, Kind: k, For: time.Duration(50+random.IntN(4000)) * time.Millisecond,
			Who: random.IntN(1 << 16), Whom: random.IntN(1 << 16)}
	}
	return out
}
