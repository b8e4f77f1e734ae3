package testkit

import (
	"runtime"
	"syscall"
	"time"
)

const (
	// sizeRatio is how many times as much an input of twice the size may cost.
	sizeRatio = 3
	// cheapBytes and cheapCPU are so little that their growth does not matter.
	cheapBytes   = 1 << 20
	cheapCPU     = 20 * time.Millisecond
	sizeRounds   = 3
	rusageThread = 1 // RUSAGE_THREAD of Linux
)

// CostsItsSize fails unless f costs at most three times as much, in memory and in processor time, for 2n as for n. It
// measures both in turn, takes the best of three, and counts the time of its own thread alone, so that a busy machine
// changes nothing. What is cheap at 2n passes.
func CostsItsSize(t TB, name string, n int, f func(n int)) {
	t.Helper()
	half, whole := cost{bytes: 1 << 62, cpu: time.Hour}, cost{bytes: 1 << 62, cpu: time.Hour}
	for range sizeRounds {
		half.atBest(measure(func() { f(n) }))
		whole.atBest(measure(func() { f(2 * n) }))
		if whole.bytes <= cheapBytes && whole.cpu <= cheapCPU {
			return
		}
	}
	if whole.bytes > cheapBytes && whole.bytes > sizeRatio*half.bytes {
		t.Errorf("%s: %d costs %d bytes, and %d costs %d", name, n, half.bytes, 2*n, whole.bytes)
	}
	if whole.cpu > cheapCPU && whole.cpu > sizeRatio*half.cpu {
		t.Errorf("%s: %d costs %v, and %d costs %v", name, n, half.cpu, 2*n, whole.cpu)
	}
}

// cost is what a call took.
type cost struct {
	bytes uint64
	cpu   time.Duration
}

func (c *cost) atBest(other cost) { c.bytes, c.cpu = min(c.bytes, other.bytes), min(c.cpu, other.cpu) }

// Cost is the memory that f allocates and the processor time of its thread.
func Cost(f func()) (bytes uint64, cpu time.Duration) {
	c := measure(f)
	return c.bytes, c.cpu
}

func measure(f func()) cost {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := threadTime()
	f()
	took := threadTime() - start
	runtime.ReadMemStats(&after)
	return cost{after.TotalAlloc - before.TotalAlloc, took}
}

func threadTime() time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(rusageThread, &used); err != nil {
		return 0
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
