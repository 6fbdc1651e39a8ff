# ports.janet KIND - ns per message between OS threads, each with an event loop
# of its own, through channels that are made for that: there and back (per hop),
# one way, from four; or between two fibers of one thread.
# SPDX-License-Identifier: MIT
(def room 100)
(def senders 4)

# Channels between OS threads are slow enough for a tenth of the messages.
(def hops 20000)
(def messages 100000)

(defn ns-each [start n]
  (/ (* 1e9 (- (os/clock :monotonic) start)) n))

(defn hop []
  (def there (ev/thread-chan room))
  (def back (ev/thread-chan room))
  (ev/thread (fn [&] (while true (ev/give back (ev/take there)))) nil :n)
  (def start (os/clock :monotonic))
  (for i 0 (/ hops 2)
    (ev/give there i)
    (ev/take back))
  (ns-each start hops))

(defn from-threads [n]
  (def in (ev/thread-chan room))
  (def start (os/clock :monotonic))
  (for _ 0 n
    (ev/thread (fn [&] (for i 0 (/ messages n) (ev/give in i))) nil :n))
  (for _ 0 messages (ev/take in))
  (ns-each start messages))

(defn at-home []
  (def in (ev/chan room))
  (def start (os/clock :monotonic))
  (ev/spawn (for i 0 messages (ev/give in i)))
  (for _ 0 messages (ev/take in))
  (ns-each start messages))

(defn main [_ kind & rest]
  (print (case kind
           "hop" (hop)
           "stream" (from-threads 1)
           "many" (from-threads senders)
           "home" (at-home)
           "-"))
  (os/exit 0))
