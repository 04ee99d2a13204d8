package graphtest

import (
	"fmt"
	"net/http"
	"strings"
)

// The texts below are Meta's own, as users have published them.

func proofError(message string) *Error {
	return &Error{Message: message, Type: "GraphMethodException", Code: 100}
}

func unknownObject(method, id string) *Error {
	return &Error{
		Message: fmt.Sprintf("Unsupported %s request. Object with ID '%s' does not exist, cannot be loaded due to missing permissions, "+
			"or does not support this operation. Please read the Graph API documentation at https://developers.facebook.com/docs/graph-api",
			strings.ToLower(method), id),
		Type: "GraphMethodException", Code: 100, Subcode: 33,
	}
}

func unknownPath(path string) *Error {
	return &Error{
		Message: "Unknown path components: " + path, Type: "OAuthException", Code: 2500,
	}
}

func tokenMissing() *Error {
	return &Error{
		Message: "An access token is required to request this resource.",
		Type:    "OAuthException", Code: 104, Status: http.StatusBadRequest,
	}
}

func badToken() *Error {
	return &Error{
		Message: "Invalid OAuth access token - Cannot parse access token",
		Type:    "OAuthException", Code: 190, Status: http.StatusUnauthorized,
	}
}

// Throttled is the answer of an app that has called too often.
func Throttled() *Error {
	return &Error{Message: "(#4) Application request limit reached", Type: "OAuthException", Code: 4, Transient: true}
}

// TokenExpired is the answer to a token whose time is over.
func TokenExpired() *Error {
	return &Error{
		Message: "Error validating access token: Session has expired on Sunday, 09-Aug-20 01:30:58 PDT. " +
			"The current time is Monday, 17-Aug-20 08:14:58 PDT.",
		Type: "OAuthException", Code: 190, Subcode: 463,
	}
}

// Unavailable is the answer of a Graph API that has trouble of its own.
func Unavailable() *Error {
	return &Error{Message: "Service temporarily unavailable", Type: "OAuthException", Code: 2, Transient: true}
}

// PermissionMissing is the answer to a token without the permission it needs.
func PermissionMissing() *Error {
	return &Error{Message: "(#10) Application does not have permission for this action", Type: "OAuthException", Code: 10}
}

// RestrictedRegion is the answer to a messaging event of a page or Instagram
// account that is registered where Meta takes none. Its subcode is not known.
func RestrictedRegion() *Error {
	return &Error{
		Message: "Invalid parameter", Type: "OAuthException", Code: 100,
		UserTitle:   "Messaging Event Within Messaging Restrictive Region",
		UserMessage: "The event was not processed because it is within a messaging restrictive region.",
	}
}
