// spawn.go: spawn - ns for a go statement, to run it and to end it, in batches
// of 100, on one P.
// SPDX-License-Identifier: MIT
package main

import (
	"fmt"
	"os"
	"runtime"
	"time"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "spawn" {
		fmt.Println("-")
		return
	}
	runtime.GOMAXPROCS(1)
	const batches, batch = 10000, 100
	ran := 0
	work := func() { ran++ }
	start := time.Now()
	for b := 0; b < batches; b++ {
		for i := 0; i < batch; i++ {
			go work()
		}
		for ran < (b+1)*batch {
			runtime.Gosched()
		}
	}
	fmt.Println(float64(time.Since(start).Nanoseconds()) / float64(ran))
}
