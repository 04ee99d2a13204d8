//go:build !linux

package process

import (
	"syscall"
	"time"
)

// CPU is not to be had here.
func (*Process) CPU() (time.Duration, error) { return 0, ErrNotLinux }

// Peak is not to be had here.
func (*Process) Peak() (int, error) { return 0, ErrNotLinux }

func dieWithUs() *syscall.SysProcAttr { return nil }
