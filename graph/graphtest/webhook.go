package graphtest

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// webhookPatience is how long Meta waits for an answer to a webhook.
const webhookPatience = 10 * time.Second

// SendWebhook sends a webhook as Meta does, signed with the app secret, and returns
// the code of the answer.
func SendWebhook(ctx context.Context, url, appSecret string, body []byte) (status int, err error) {
	ctx, cancel := context.WithTimeout(ctx, webhookPatience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return 0, fmt.Errorf("webhook: %w", err)
	}
	mac := hmac.New(sha256.New, []byte(appSecret))
	mac.Write(body)
	request.Header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, fmt.Errorf("webhook: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	_, err = io.Copy(io.Discard, response.Body)
	return response.StatusCode, err
}

func (c control) postWebhook(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		URL       string          `json:"url"`
		AppSecret string          `json:"app_secret"`
		Body      json.RawMessage `json:"body"`
	}
	if !readJSON(w, r, &asked) {
		return
	}
	status, err := SendWebhook(r.Context(), asked.URL, asked.AppSecret, asked.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, "{\"status\":%d}\n", status)
}
