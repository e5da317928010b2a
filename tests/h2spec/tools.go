//go:build tools

// Package tools names the program that scripts/install-h2spec.sh builds, so that go.mod pins it.
package tools

import _ "github.com/summerwind/h2spec/cmd/h2spec"
