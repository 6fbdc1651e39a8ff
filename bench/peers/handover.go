// handover.go: handover KIND - ns per value on one P: unbuffered channel,
// channel of 100, a container/heap of 100 under a mutex and two conditions (of
// numbers, or of pointers with a "less"), or a fresh channel of one each time.
// SPDX-License-Identifier: MIT
package main

import (
	"container/heap"
	"fmt"
	"math/rand"
	"os"
	"runtime"
	"sync"
	"time"
)

const values = 3000000

func pass(put func(i int), get func()) {
	done := make(chan bool)
	go func() {
		for i := 0; i < values; i++ {
			get()
		}
		done <- true
	}()
	for i := 0; i < values; i++ {
		put(i)
	}
	<-done
}

func passChannel(channel chan int) {
	pass(func(i int) { channel <- i }, func() { <-channel })
}

type items[T any] struct {
	list []T
	less func(a, b T) bool
}

func (q *items[T]) Len() int           { return len(q.list) }
func (q *items[T]) Less(i, j int) bool { return q.less(q.list[i], q.list[j]) }
func (q *items[T]) Swap(i, j int) {
	q.list[i], q.list[j] = q.list[j], q.list[i]
}
func (q *items[T]) Push(item any) { q.list = append(q.list, item.(T)) }
func (q *items[T]) Pop() any {
	last := len(q.list) - 1
	item := q.list[last]
	q.list = q.list[:last]
	return item
}

func passHeap[T any](item func(rank int) T, less func(a, b T) bool) {
	queue, ring := &items[T]{less: less}, [1024]T{}
	for i := range ring {
		ring[i] = item(rand.Intn(1000000))
	}
	var mutex sync.Mutex
	notEmpty, notFull := sync.NewCond(&mutex), sync.NewCond(&mutex)
	pass(func(i int) {
		mutex.Lock()
		for queue.Len() == 100 {
			notFull.Wait()
		}
		heap.Push(queue, ring[i%1024])
		notEmpty.Signal()
		mutex.Unlock()
	}, func() {
		mutex.Lock()
		for queue.Len() == 0 {
			notEmpty.Wait()
		}
		heap.Pop(queue)
		notFull.Signal()
		mutex.Unlock()
	})
}

type ranked struct{ rank int }

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
		passChannel(make(chan int))
	case "queue":
		passChannel(make(chan int, 100))
	case "priority":
		passHeap(func(rank int) int { return rank },
			func(a, b int) bool { return a < b })
	case "less":
		passHeap(func(rank int) *ranked { return &ranked{rank} },
			func(a, b *ranked) bool { return a.rank < b.rank })
	case "event":
		volley()
	default:
		fmt.Println("-")
		return
	}
	fmt.Println(float64(time.Since(start).Nanoseconds()) / values)
}
