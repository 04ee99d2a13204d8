// Package process runs programs beside this one, and says what they use of the
// machine. They end with it, however it ends.
package process

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

// ErrNotLinux says that what a process uses cannot be told here.
var ErrNotLinux = errors.New("what a process uses is read from /proc, which only Linux has")

// Process is a program that runs beside this one, with its output in a file.
type Process struct {
	name  string
	cmd   *exec.Cmd
	log   string // path
	stop  context.CancelFunc
	ended chan struct{}
}

// Start runs a program until End is called or ctx ends.
func Start(ctx context.Context, dir, name, binary string, args ...string) (*Process, error) {
	log, err := os.CreateTemp(dir, name+"-*.log")
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }() // the program has its own
	ctx, stop := context.WithCancel(ctx)
	p := &Process{name: name, log: log.Name(), stop: stop, ended: make(chan struct{})}
	p.cmd = Command(ctx, binary, args...)
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

// Command is a program with the environment of this one, but for what would
// reach into the figures: the worker's settings, which could even lead it to other
// servers, and what it is to export.
func Command(ctx context.Context, binary string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, binary, args...) //nolint:gosec // the programs that are measured
	cmd.SysProcAttr = dieWithUs()
	cmd.Env = slices.DeleteFunc(os.Environ(), func(variable string) bool {
		return strings.HasPrefix(variable, "CAPI_") || strings.HasPrefix(variable, "OTEL_")
	})
	return cmd
}

// End ends the process and waits until it is gone.
func (p *Process) End() {
	p.stop()
	<-p.ended
}

// failed is that something is wrong with the process, and what it said last.
func (p *Process) failed(what string) error {
	const most = 2000
	text, err := os.ReadFile(p.log)
	text = text[max(0, len(text)-most):]
	return errors.Join(fmt.Errorf("%s %s; its log ends so:\n%s", p.name, what, text), err)
}

// Said waits until a pattern is in the process' output, and returns its first
// group.
func (p *Process) Said(ctx context.Context, pattern *regexp.Regexp) (group string, err error) {
	err = p.Await(ctx, "say "+pattern.String(), 10*time.Millisecond, func() (bool, error) {
		text, err := os.ReadFile(p.log)
		if match := pattern.FindSubmatch(text); match != nil {
			group = string(match[1])
		}
		return group != "", err
	})
	return group, err
}

// Await asks now and then until the answer is yes, for a minute at the most.
func (p *Process) Await(ctx context.Context, what string, often time.Duration, ask func() (bool, error)) error {
	return p.AwaitFor(ctx, time.Minute, what, often, ask)
}

// AwaitFor does so for a time of the caller's. The process has to be there until
// then.
func (p *Process) AwaitFor(
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
