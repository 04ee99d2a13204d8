package graph

import (
	"encoding/json"
	"net/http"
	"time"
)

// Usage is how much of Meta's rolling-hour rate limits is used up, as the
// answer's headers say. Source: Meta, "Rate Limiting" (2026).
type Usage struct {
	// App is the highest figure of the app's own limit, which all datasets
	// share that the app sends for: 0 to 100, and sometimes beyond.
	App float64
	// Percent is the highest of the other figures, which are about the
	// business, the account or the dataset of the request alone.
	Percent float64
	// Regain is how long until access is back once a limit is reached.
	Regain time.Duration
}

// readUsage reads all three usage headers; one that cannot be read is as good
// as absent.
func readUsage(header http.Header) Usage {
	var usage Usage
	readAppUsage(header.Get("X-App-Usage"), &usage)
	readAdAccountUsage(header.Get("X-Ad-Account-Usage"), &usage)
	readBusinessUsage(header.Get("X-Business-Use-Case-Usage"), &usage)
	return usage
}

type callUsage struct {
	CallCount float64 `json:"call_count"`
	CPUTime   float64 `json:"total_cputime"`
	Time      float64 `json:"total_time"`
}

func (c *callUsage) highest() float64 { return max(0, c.CallCount, c.CPUTime, c.Time) }

func readAppUsage(value string, usage *Usage) {
	var app callUsage
	if json.Unmarshal([]byte(value), &app) == nil {
		usage.App = app.highest()
	}
}

func readAdAccountUsage(value string, usage *Usage) {
	var account struct {
		Percent      float64 `json:"acc_id_util_pct"`
		ResetSeconds float64 `json:"reset_time_duration"`
	}
	if json.Unmarshal([]byte(value), &account) != nil {
		return
	}
	usage.Percent = max(usage.Percent, account.Percent)
	if account.Percent >= 100 {
		usage.Regain = max(usage.Regain, seconds(account.ResetSeconds))
	}
}

// readBusinessUsage reads every element of every business: the array may hold
// several limits, and the one that counts need not be the first.
func readBusinessUsage(value string, usage *Usage) {
	var businesses map[string][]struct {
		callUsage
		RegainMinutes float64 `json:"estimated_time_to_regain_access"`
	}
	if json.Unmarshal([]byte(value), &businesses) != nil {
		return
	}
	for _, limits := range businesses {
		for _, limit := range limits {
			usage.Percent = max(usage.Percent, limit.highest())
			usage.Regain = max(usage.Regain, seconds(60*limit.RegainMinutes))
		}
	}
}

// seconds converts, within bounds: a day is longer than any limit of Meta's.
func seconds(s float64) time.Duration {
	const most = float64(24 * time.Hour / time.Second)
	return time.Duration(min(max(s, 0), most) * float64(time.Second))
}

// AppWide reports whether the whole app is throttled, not the dataset alone: code 4
// is the app's limit of calls, code 341 its temporary one. Source: Meta,
// "Rate Limiting" (2026).
func (a *Answer) AppWide() bool {
	return a.Verdict == Throttled && a.Error != nil && (a.Error.Code == 4 || a.Error.Code == 341)
}
