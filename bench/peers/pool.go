// pool.go: pool ITEMS spawn_n|map - ns per goroutine of which at most 100 run,
// by a channel as the semaphore and a WaitGroup, on one P; "map" keeps the
// results in order. A job gives way once.
// SPDX-License-Identifier: MIT
package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"time"
)

func main() {
	runtime.GOMAXPROCS(1)
	items, _ := strconv.Atoi(os.Args[1])
	if os.Args[2] != "spawn_n" && os.Args[2] != "map" {
		fmt.Println("-")
		return
	}
	input := make([]int, items)
	for i := range input {
		input[i] = i + 1
	}
	ran := 0
	work := func(item int) int {
		runtime.Gosched()
		ran++
		return item
	}
	var results []int
	if os.Args[2] == "map" {
		results = make([]int, items)
	}
	slots, group := make(chan bool, 100), sync.WaitGroup{}
	start := time.Now()
	for i := range input {
		slots <- true
		group.Add(1)
		go func(i int) {
			result := work(input[i])
			if results != nil {
				results[i] = result
			}
			<-slots
			group.Done()
		}(i)
	}
	group.Wait()
	spent := time.Since(start)
	if ran != items || results != nil && results[items-1] != items {
		panic("a job was lost")
	}
	fmt.Println(float64(spent.Nanoseconds()) / float64(items))
}
