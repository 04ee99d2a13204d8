package main

import (
	"context"
	"fmt"
	"runtime"
	"strconv"
	"time"

	"github.com/capi-dispatcher/capi-dispatcher/cmd/bench/process"
	"github.com/capi-dispatcher/capi-dispatcher/config"
)

// conditions are what a backlog is worked off under.
type conditions struct {
	load

	workers     int
	answerAfter time.Duration        // of the receiver
	configure   func(*config.Config) // nil: as it is shipped
}

// contender is a program that consumes a backlog.
type contender struct {
	name  string
	start func(context.Context, *scene, conditions) (crew, error)
	// isThrough reports whether the receiver has all of a load.
	isThrough func(counts, load) bool
}

func theWorker() contender {
	return contender{
		name: "worker",
		start: func(ctx context.Context, c *scene, under conditions) (crew, error) {
			return c.startWorkers(ctx, under.workers)
		},
		isThrough: func(got counts, l load) bool { return got.Distinct >= l.distinct() },
	}
}

func theCeiling() contender {
	return contender{
		name: "ceiling",
		start: func(ctx context.Context, c *scene, under conditions) (crew, error) {
			p, err := process.Start(ctx, c.dir, "ceiling", c.self, "ceiling", "--config", c.file,
				"--messages", strconv.Itoa(under.events))
			return crew{p}, err
		},
		isThrough: func(got counts, l load) bool { return got.Events >= l.events },
	}
}

// measurement is what came of a backlog.
type measurement struct {
	Name     string
	Load     load
	Took     time.Duration // from the first message delivered to the last event received
	Received counts
	CPU      usage // over that time
	Peak     int   // bytes of memory of the contender, or of the largest of several
	Allocs   int   // of the contender, over that time
}

// rate is in messages, the copies among them, a second: a copy is as much work.
func (m measurement) rate() float64 { return float64(m.Load.events) / m.Took.Seconds() }

// busy is how much of the machine the processes have used, of 1. With room left, it
// was not the processors that kept the contender from going faster.
func (m measurement) busy() float64 {
	whole := m.Took * time.Duration(runtime.NumCPU())
	return float64(m.CPU.Contender+m.CPU.NATS+m.CPU.Redis+m.CPU.Receiver) / float64(whole)
}

// each is a figure's part of one message.
func (m measurement) each(figure float64) float64 { return figure / float64(m.Load.events) }

// eventsEach is how many events a request carried.
func (m measurement) eventsEach() float64 {
	return float64(m.Received.Events) / float64(max(m.Received.Requests, 1))
}

// usage is the processors' time that each process has used.
type usage struct{ Contender, NATS, Redis, Receiver time.Duration }

func (u usage) since(before usage) usage {
	return usage{
		Contender: u.Contender - before.Contender, NATS: u.NATS - before.NATS,
		Redis: u.Redis - before.Redis, Receiver: u.Receiver - before.Receiver,
	}
}

// backlog publishes a load, has a contender consume it, and measures that.
func (b *bench) backlog(ctx context.Context, c contender, under conditions) (measurement, error) {
	b.say("%s: a backlog of %d events, %d datasets", c.name, under.events, under.datasets)
	scene, err := b.newScene(ctx, under.answerAfter, under.configure)
	if err != nil {
		return measurement{}, err
	}
	defer scene.end()
	under.began = time.Now()
	if err := scene.publish(ctx, under.load); err != nil {
		return measurement{}, err
	}
	running, err := c.start(ctx, scene, under)
	defer running.end()
	if err != nil {
		return measurement{}, err
	}
	m := measurement{Name: c.name, Load: under.load}
	if err := scene.watch(ctx, c, running, &m); err != nil {
		return measurement{}, fmt.Errorf("%s, %d datasets: %w", c.name, under.datasets, err)
	}
	return m, nil
}

// watch measures from the first message on, so that starting up does not count,
// until the receiver has everything; and then waits until every message has been
// acknowledged: copies may wait for two seconds for what becomes of their original.
func (c *scene) watch(ctx context.Context, contender contender, running crew, m *measurement) error {
	if err := c.awaitBegin(ctx, running); err != nil {
		return err
	}
	began := time.Now()
	before, err := c.usage(running)
	if err != nil {
		return err
	}
	allocated, err := c.allocs(ctx, running)
	if err != nil {
		return err
	}
	isThrough := func(got counts) bool { return contender.isThrough(got, m.Load) }
	got, err := c.awaitReceived(ctx, running, m.Load.events, isThrough)
	if err != nil {
		return err
	}
	after, err := c.usage(running)
	if err != nil {
		return err
	}
	m.Took, m.CPU = got.Last.Sub(began), after.since(before)
	if m.Allocs, err = c.allocs(ctx, running); err != nil {
		return err
	}
	m.Allocs -= allocated
	if m.Peak, err = running.peak(); err != nil {
		return err
	}
	if err := c.awaitAcknowledged(ctx, running, m.Load.events); err != nil {
		return err
	}
	m.Received, err = c.counts(ctx)
	return err
}

func (c *scene) awaitBegin(ctx context.Context, running crew) error {
	return running.leader().Await(ctx, "begin", 2*time.Millisecond, func() (bool, error) {
		_, begun, err := c.consumed(ctx)
		return begun, err
	})
}

func (c *scene) awaitAcknowledged(ctx context.Context, running crew, messages int) error {
	return running.leader().Await(ctx, "acknowledge everything", 20*time.Millisecond, func() (bool, error) {
		acknowledged, _, err := c.consumed(ctx)
		return acknowledged >= messages, err
	})
}

// awaitReceived waits until enough of so many events has been received, and returns
// what that is.
func (c *scene) awaitReceived(
	ctx context.Context, running crew, events int, isEnough func(counts) bool,
) (got counts, err error) {
	patience := time.Minute + time.Duration(events)*time.Millisecond // a thousand a second is very slow
	err = running.leader().AwaitFor(ctx, patience, "send everything", 10*time.Millisecond, func() (bool, error) {
		got, err = c.counts(ctx)
		return err == nil && isEnough(got), err
	})
	return got, err
}

// usage is what the processes have used so far.
func (c *scene) usage(contender crew) (u usage, err error) {
	for _, one := range []struct {
		processes crew
		used      *time.Duration
	}{{contender, &u.Contender}, {c.nats, &u.NATS}, {c.redis, &u.Redis}, {crew{c.receiver}, &u.Receiver}} {
		if *one.used, err = one.processes.cpu(); err != nil {
			return usage{}, err
		}
	}
	return u, nil
}
