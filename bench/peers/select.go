// select.go: select reflect|static waits|ready THINGS - ns per value received
// from so many channels of one by reflect.Select, or by a select statement of
// ten cases, on one P. "waits": another goroutine sends, then gives way.
// "ready": the same one sends and then selects.
// SPDX-License-Identifier: MIT
package main

import (
	"fmt"
	"math/rand"
	"os"
	"reflect"
	"runtime"
	"strconv"
	"time"
)

func static(channels []chan int) func() int {
	c := channels
	return func() (value int) {
		select {
		case value = <-c[0]:
		case value = <-c[1]:
		case value = <-c[2]:
		case value = <-c[3]:
		case value = <-c[4]:
		case value = <-c[5]:
		case value = <-c[6]:
		case value = <-c[7]:
		case value = <-c[8]:
		case value = <-c[9]:
		}
		return value
	}
}

func dynamic(channels []chan int) func() int {
	cases := make([]reflect.SelectCase, len(channels))
	for i, channel := range channels {
		cases[i].Dir = reflect.SelectRecv
		cases[i].Chan = reflect.ValueOf(channel)
	}
	return func() int {
		_, value, _ := reflect.Select(cases)
		return int(value.Int())
	}
}

func main() {
	runtime.GOMAXPROCS(1)
	how, mode := os.Args[1], os.Args[2]
	things, _ := strconv.Atoi(os.Args[3])
	if how == "static" && things != 10 {
		fmt.Println("-")
		return
	}
	values := 3000000 / (things + 10)
	channels, picks := make([]chan int, things), [1024]int{}
	for i := range channels {
		channels[i] = make(chan int, 1)
	}
	for i := range picks {
		picks[i] = rand.Intn(things)
	}
	receive := dynamic
	if how == "static" {
		receive = static
	}
	get, sum := receive(channels), 0
	put := func(i int) { channels[picks[i%1024]] <- i }
	start := time.Now()
	if mode == "waits" {
		go func() {
			runtime.Gosched()
			for i := 1; i <= values; i++ {
				put(i)
				runtime.Gosched()
			}
		}()
	}
	for i := 1; i <= values; i++ {
		if mode == "ready" {
			put(i)
		}
		sum += get()
	}
	spent := time.Since(start)
	if sum != values*(values+1)/2 {
		panic("a value was lost")
	}
	fmt.Println(float64(spent.Nanoseconds()) / float64(values))
}
