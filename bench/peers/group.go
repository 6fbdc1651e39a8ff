// group.go: group CHILDREN time|memory - ns, or resident bytes at the peak, per
// goroutine that gives way once and ends, all of them in a WaitGroup, on one P.
// SPDX-License-Identifier: MIT
package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
)

func resident(name string) int {
	file, _ := os.Open("/proc/self/status")
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if fields[0] == name {
			kb, _ := strconv.Atoi(fields[1])
			return kb * 1024
		}
	}
	return 0
}

func main() {
	runtime.GOMAXPROCS(1)
	children, _ := strconv.Atoi(os.Args[1])
	ran, group := 0, sync.WaitGroup{}
	child := func() {
		runtime.Gosched()
		ran++
		group.Done()
	}
	before, start := resident("VmRSS:"), time.Now()
	for i := 0; i < children; i++ {
		group.Add(1)
		go child()
	}
	group.Wait()
	spent := time.Since(start)
	if ran != children {
		panic("a child was lost")
	}
	if os.Args[2] == "time" {
		fmt.Println(float64(spent.Nanoseconds()) / float64(children))
	} else {
		peak := resident("VmHWM:")
		fmt.Println(float64(peak-before) / float64(children))
	}
}
