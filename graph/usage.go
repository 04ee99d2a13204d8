package graph

import (
	"encoding/json"
	"net/http"
	"time"
)

// Usage is how much of Meta's rolling-hour rate limits is used up, as the
// answer's headers tell. Source: Meta, "Rate Limiting" (2026).
type Usage struct {
	// Percent is the highest of all figures, 0 to 100 and sometimes beyond.
	Percent float64
	// Regain is how long until access is back once a limit is reached.
	Regain time.Duration
}

func (u *Usage) raise(percents ...float64) {
	for _, p := range percents {
		u.Percent = max(u.Percent, p)
	}
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

func readAppUsage(value string, usage *Usage) {
	var app callUsage
	if json.Unmarshal([]byte(value), &app) == nil {
		usage.raise(app.CallCount, app.CPUTime, app.Time)
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
	usage.raise(account.Percent)
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
			usage.raise(limit.CallCount, limit.CPUTime, limit.Time)
			usage.Regain = max(usage.Regain, seconds(60*limit.RegainMinutes))
		}
	}
}

// seconds converts, within bounds: a day is longer than any limit of Meta's.
func seconds(s float64) time.Duration {
	const most = float64(24 * time.Hour / time.Second)
	return time.Duration(min(max(s, 0), most) * float64(time.Second))
}
