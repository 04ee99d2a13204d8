package graphtest

import (
	"fmt"
	"net/http"
)

// reportUsage adds the headers by which Graph tells how near its limits the app
// and the dataset are: far from them, unless a fault says otherwise.
func (a *API) reportUsage(w http.ResponseWriter, dataset string) {
	w.Header().Set("X-App-Usage", `{"call_count":1,"total_cputime":1,"total_time":1}`)
	w.Header().Set("X-Business-Use-Case-Usage", fmt.Sprintf(
		`{%q:[{"type":"ads_management","call_count":1,"total_cputime":1,"total_time":1,"estimated_time_to_regain_access":0}]}`, dataset))
}
