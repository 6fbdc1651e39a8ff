// handover.go: handover channel|queue|event - ns per value on one P: unbuffered
// channel, channel of 100, or a fresh channel of one each time.
// SPDX-License-Identifier: MIT
package main

import (
	"fmt"
	"os"
	"runtime"
	"time"
)

const values = 3000000

func pass(channel chan int) {
	done := make(chan bool)
	go func() {
		for i := 0; i < values; i++ {
			<-channel
		}
		done <- true
	}()
	for i := 0; i < values; i++ {
		channel <- i
	}
	<-done
}

func volley() {
	box := [2]chan int{make(chan int, 1), make(chan int, 1)}
	done := make(chan bool)
	player := func(me, other int) {
		for i := 0; i < values/2; i++ {
			<-box[me]
			box[me] = make(chan int, 1)
			box[other] <- i
		}
		done <- true
	}
	go player(0, 1)
	go player(1, 0)
	box[0] <- 0
	<-done
	<-done
}

func main() {
	runtime.GOMAXPROCS(1)
	start := time.Now()
	switch os.Args[1] {
	case "channel":
		pass(make(chan int))
	case "queue":
		pass(make(chan int, 100))
	case "event":
		volley()
	}
	fmt.Println(float64(time.Since(start).Nanoseconds()) / values)
}
