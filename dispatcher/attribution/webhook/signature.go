package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"strings"
)

// SignatureHeader is where Meta puts the signature of a body.
const SignatureHeader = "X-Hub-Signature-256"

// Verify reports whether a signature is that of the body with one of the app
// secrets. The bytes have to be those that came: Meta signs what it has sent, and
// the same JSON written otherwise has another signature.
func Verify(signature string, body []byte, secrets []string) bool {
	digits, ok := strings.CutPrefix(signature, "sha256=")
	if !ok {
		return false
	}
	given, err := hex.DecodeString(digits)
	if err != nil {
		return false
	}
	verified := false
	for _, secret := range secrets {
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write(body)
		verified = hmac.Equal(mac.Sum(nil), given) || verified
	}
	return verified
}

// Sign returns the signature that Meta would give a body.
func Sign(body []byte, secret string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

// Matches compares a text with a secret, without telling by its time how much of it
// is right.
func Matches(text, secret string) bool {
	a, b := sha256.Sum256([]byte(text)), sha256.Sum256([]byte(secret))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}
