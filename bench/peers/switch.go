// switch.go: switch THREADS - ns per runtime.Gosched() on one P.
// SPDX-License-Identifier: MIT
package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"time"
)

func main() {
	runtime.GOMAXPROCS(1)
	threads, _ := strconv.Atoi(os.Args[1])
	rounds := 3000000/threads + 3
	result, done := make(chan time.Duration), false
	go func() {
		runtime.Gosched()
		runtime.Gosched()
		start := time.Now()
		for i := 0; i < rounds; i++ {
			runtime.Gosched()
		}
		done = true
		result <- time.Since(start)
	}()
	for i := 1; i < threads; i++ {
		go func() {
			for !done {
				runtime.Gosched()
			}
		}()
	}
	spent := <-result
	fmt.Println(float64(spent.Nanoseconds()) / float64(rounds*threads))
}
