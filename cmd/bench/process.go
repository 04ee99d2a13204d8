package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

var errNotLinux = errors.New("what a process uses is read from /proc, which only Linux has")

// process is a program that runs beside this one, with its output in a file.
type process struct {
	name  string
	cmd   *exec.Cmd
	log   string // path
	stop  context.CancelFunc
	ended chan struct{}
}

// startProcess runs a program until end is called or ctx ends.
func startProcess(ctx context.Context, dir, name, binary string, args ...string) (*process, error) {
	log, err := os.CreateTemp(dir, name+"-*.log")
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }() // the program has its own
	ctx, stop := context.WithCancel(ctx)
	p := &process{name: name, log: log.Name(), stop: stop, ended: make(chan struct{})}
	p.cmd = command(ctx, binary, args...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	p.cmd.WaitDelay = time.Minute // longer than a worker takes to end; then it is killed
	if err := p.cmd.Start(); err != nil {
		stop()
		return nil, fmt.Errorf("%s does not start: %w", name, err)
	}
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait() // how it ended is in its state
	}()
	return p, nil
}

// command is a program with the environment of this one, but for what would
// reach into the figures: the worker's settings, which could even lead it to other
// servers, and what it is to export.
func command(ctx context.Context, binary string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, binary, args...) //nolint:gosec // the programs that are measured
	cmd.SysProcAttr = dieWithUs()
	cmd.Env = slices.DeleteFunc(os.Environ(), func(variable string) bool {
		return strings.HasPrefix(variable, "CAPI_") || strings.HasPrefix(variable, "OTEL_")
	})
	return cmd
}

// end ends the process and waits until it is gone.
func (p *process) end() {
	p.stop()
	<-p.ended
}

// failed is that something is wrong with the process, and what it said last.
func (p *process) failed(what string) error {
	const most = 2000
	text, err := os.ReadFile(p.log)
	text = text[max(0, len(text)-most):]
	return errors.Join(fmt.Errorf("%s %s; its log ends so:\n%s", p.name, what, text), err)
}

// said waits until a pattern is in the process' output, and returns its first
// group.
func (p *process) said(ctx context.Context, pattern *regexp.Regexp) (group string, err error) {
	err = p.await(ctx, "say "+pattern.String(), 10*time.Millisecond, func() (bool, error) {
		text, err := os.ReadFile(p.log)
		if match := pattern.FindSubmatch(text); match != nil {
			group = string(match[1])
		}
		return group != "", err
	})
	return group, err
}

// await asks now and then until the answer is yes, for a minute at the most.
func (p *process) await(ctx context.Context, what string, often time.Duration, ask func() (bool, error)) error {
	return p.awaitFor(ctx, time.Minute, what, often, ask)
}

// awaitFor does so for a time of the caller's. The process has to be there until
// then.
func (p *process) awaitFor(
	ctx context.Context, patience time.Duration, what string, often time.Duration, ask func() (bool, error),
) error {
	ticker, tooLong := time.NewTicker(often), time.NewTimer(patience)
	defer ticker.Stop()
	defer tooLong.Stop()
	for {
		if yes, err := ask(); yes || err != nil {
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		case <-p.ended:
			if ctx.Err() != nil {
				return ctx.Err() // that is what has ended it
			}
			return p.failed("has ended: " + p.cmd.ProcessState.String())
		case <-tooLong.C:
			return p.failed("does not " + what)
		}
	}
}

// build builds the worker and the NATS server that go.mod names, as they are
// shipped.
func build(ctx context.Context, dir string) error {
	cmd := command(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", dir+"/",
		"github.com/capi-dispatcher/capi-dispatcher/cmd/capi-dispatcher", "github.com/nats-io/nats-server/v2")
	cmd.Env = append(cmd.Env, "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building the programs: %w: %s", err, out)
	}
	return nil
}
