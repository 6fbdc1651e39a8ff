// timer.go: timer PENDING - ns for time.AfterFunc and Stop on one P.
// SPDX-License-Identifier: MIT
package main

import (
	"fmt"
	"math/rand"
	"os"
	"runtime"
	"strconv"
	"time"
)

func later() time.Duration {
	return time.Hour + time.Duration(rand.Int63n(int64(time.Hour)))
}

func main() {
	runtime.GOMAXPROCS(1)
	pending, _ := strconv.Atoi(os.Args[1])
	timers := make([]*time.Timer, pending)
	for i := range timers {
		timers[i] = time.AfterFunc(later(), func() {})
	}
	runtime.GC()
	const times = 1000000
	start := time.Now()
	for i := 0; i < times; i++ {
		time.AfterFunc(later(), func() {}).Stop()
	}
	fmt.Println(float64(time.Since(start).Nanoseconds()) / times)
	runtime.KeepAlive(timers)
}
