// idle.go: idle THREADS spawn_n|handler - resident bytes per goroutine that
// waits on a channel; "handler" waits three calls deep with a dozen locals.
// SPDX-License-Identifier: MIT
package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
)

var (
	event   = make(chan int)
	waiting = 0
)

func resident() int {
	file, _ := os.Open("/proc/self/status")
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if fields[0] == "VmRSS:" {
			kb, _ := strconv.Atoi(fields[1])
			return kb * 1024
		}
	}
	return 0
}

//go:noinline
func read(conn, size int) (int, int, int) {
	buffer, from, to := conn, size, size
	waiting++
	buffer += <-event
	return buffer, from, to
}

//go:noinline
func request(conn int) (int, int, int, int) {
	method, path, version, headers := conn, conn, conn, conn
	a, b, c := read(conn, 1)
	return method + a, path + b, version + c, headers
}

func handler(conn int) {
	peer, port, started, count := conn, conn, conn, conn
	a, b, c, d := request(conn)
	runtime.KeepAlive(peer + port + started + count + a + b + c + d)
}

func main() {
	runtime.GOMAXPROCS(1)
	threads, _ := strconv.Atoi(os.Args[1])
	if os.Args[2] == "spawn" {
		fmt.Println("-")
		return
	}
	runtime.GC()
	before := resident()
	for i := 0; i < threads; i++ {
		if os.Args[2] == "handler" {
			go handler(i)
		} else {
			go func() {
				waiting++
				<-event
			}()
		}
	}
	for waiting < threads {
		runtime.Gosched()
	}
	runtime.GC()
	fmt.Println(float64(resident()-before) / float64(threads))
}
