// spawn.go: spawn_n|spawn|wait - ns of CPU for a go statement, to run it and to
// end it, in batches of 100, on one P. "spawn" gives each a channel for its
// result, as a handle of ours has it; "wait" receives from that.
// SPDX-License-Identifier: MIT
package main

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
)

const batches, batch = 10000, 100

var ran = 0

func work() int {
	ran++
	return ran
}

func run(result chan<- int) { result <- work() }

func spawnAll(what string, list []chan int) {
	for i := 0; i < batch; i++ {
		if what == "spawn_n" {
			go work()
			continue
		}
		result := make(chan int, 1)
		go run(result)
		list[i] = result
	}
}

func waitForAll(what string, list []chan int, until int) {
	for i := 0; i < batch && what == "wait"; i++ {
		<-list[i]
	}
	for ran < until {
		runtime.Gosched()
	}
}

// cpu is what the process has used, in ns, as os.clock() tells it in Lua.
func cpu() int64 {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return u.Utime.Nano() + u.Stime.Nano()
}

func main() {
	runtime.GOMAXPROCS(1)
	list := make([]chan int, batch)
	start := cpu()
	for b := 1; b <= batches; b++ {
		spawnAll(os.Args[1], list)
		waitForAll(os.Args[1], list, b*batch)
	}
	fmt.Println(float64(cpu()-start) / float64(ran))
}
