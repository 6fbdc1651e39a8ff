// ports.go: ports KIND - ns per message between goroutines that are locked to
// OS threads of their own: there and back (per hop), one way, from four; or
// between two goroutines on one P.
// SPDX-License-Identifier: MIT
package main

import (
	"fmt"
	"os"
	"runtime"
	"time"
)

const hops, messages, senders, room = 100000, 1000000, 4, 100

func hop() float64 {
	there, back := make(chan *int, room), make(chan *int, room)
	go func() {
		runtime.LockOSThread()
		for m := range there {
			back <- m
		}
	}()
	m := new(int)
	start := time.Now()
	for i := 0; i < hops/2; i++ {
		there <- m
		m = <-back
	}
	return float64(time.Since(start).Nanoseconds()) / hops
}

func from(n int, locked bool) float64 {
	in := make(chan *int, room)
	start := time.Now()
	for i := 0; i < n; i++ {
		go func() {
			if locked {
				runtime.LockOSThread()
			}
			for i := 0; i < messages/n; i++ {
				m := new(int)
				*m = i
				in <- m
			}
		}()
	}
	for i := 0; i < messages; i++ {
		<-in
	}
	return float64(time.Since(start).Nanoseconds()) / messages
}

func main() {
	kind := os.Args[1]
	if kind == "home" {
		runtime.GOMAXPROCS(1)
	} else {
		runtime.LockOSThread()
	}
	switch kind {
	case "hop":
		fmt.Println(hop())
	case "stream":
		fmt.Println(from(1, true))
	case "many":
		fmt.Println(from(senders, true))
	case "home":
		fmt.Println(from(1, false))
	default:
		fmt.Println("-")
	}
}
