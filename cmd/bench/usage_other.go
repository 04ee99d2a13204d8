//go:build !linux

package main

import (
	"syscall"
	"time"
)

func (*process) cpu() (time.Duration, error) { return 0, errNotLinux }

func (*process) peak() (int, error) { return 0, errNotLinux }

func dieWithUs() *syscall.SysProcAttr { return nil }
