module caisson/sdktest

go 1.26.0

require github.com/dapr/go-sdk v1.14.2 // indirect
