package testkit

import (
	"runtime"
	"runtime/debug"
	"syscall"
	"time"
)

const (
	// sizeRatio is how many times as much an input of twice the size may cost.
	sizeRatio = 3
	// cheapBytes and cheapCPU are so little that their growth does not matter.
	cheapBytes   = 1 << 20
	cheapCPU     = 20 * time.Millisecond
	sizePairs    = 9
	rusageThread = 1 // RUSAGE_THREAD of Linux
)

// CostsItsSize fails unless f costs at most three times as much, in memory and in processor time, for 2n as for n. It
// measures both one after the other, lets the majority of nine such pairs decide, and counts the time of its own thread
// alone, so that a machine which is busy, or changes its pace, changes nothing. What is cheap at 2n passes.
func CostsItsSize(t TB, name string, n int, f func(n int)) {
	t.Helper()
	fits, grows := 0, 0
	for fits <= sizePairs/2 {
		half, whole := measure(func() { f(n) }), measure(func() { f(2 * n) })
		if whole.bytes <= cheapBytes && whole.cpu <= cheapCPU {
			return
		}
		memory := whole.bytes > cheapBytes && whole.bytes > sizeRatio*half.bytes
		if !memory && (whole.cpu <= cheapCPU || whole.cpu <= sizeRatio*half.cpu) {
			fits++
			continue
		}
		if grows++; grows > sizePairs/2 {
			t.Errorf("%s: %d costs %d bytes and %v, and %d costs %d bytes and %v", name, n, half.bytes, half.cpu, 2*n,
				whole.bytes, whole.cpu)
			return
		}
	}
}

// cost is what a call took.
type cost struct {
	bytes uint64
	cpu   time.Duration
}

// Cost is the memory that f allocates and the processor time of its thread.
func Cost(f func()) (bytes uint64, cpu time.Duration) {
	c := measure(f)
	return c.bytes, c.cpu
}

func measure(f func()) cost {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	runtime.GC()                                     // what others left
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // a collection would be counted where it happens to begin
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
