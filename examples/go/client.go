// A complete client in Go, made from the .proto file: streams text, tells errors, goes on where its server died.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "seqstream.example/client/seqstreamv1"
)

// stream prints what comes, and keeps in request what another call needs to go on from there.
func stream(ctx context.Context, service pb.GenerationServiceClient, request *pb.GenerateRequest) error {
	rest := "" // text behind the last token: it would come again, too
	call, err := service.Generate(ctx, request)
	for err == nil {
		var response *pb.GenerateResponse
		if response, err = call.Recv(); err != nil {
			return err
		}
		delta := response.GetDelta()
		if started := response.GetStarted(); started != nil {
			request.Model, request.Seed = started.Model, &started.Seed
		} else if end := response.GetFinished(); end != nil {
			fmt.Println(rest)
			fmt.Fprintf(os.Stderr, "%d tokens, %s, seed %d\n", end.Usage.GeneratedTokens, end.Reason, *request.Seed)
			return nil
		} else if len(delta.GetTokenIds()) == 0 {
			rest = delta.GetText()
		} else {
			fmt.Print(delta.Text)
			request.ResumeTokenIds = append(request.ResumeTokenIds, delta.TokenIds...)
		}
	}
	return err
}

func main() {
	address, request := os.Args[1], &pb.GenerateRequest{Model: os.Args[2], Prompt: &pb.GenerateRequest_Text{Text: os.Args[3]}}
	connection, err := grpc.Dial(address, grpc.WithInsecure())            // TLS: grpc.WithTransportCredentials(...)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt) // cancels the call, and frees its rows
	defer stop()
	for attempt := time.Duration(0); err == nil || status.Code(err) == codes.Unavailable && attempt <= 5; attempt++ {
		time.Sleep(attempt * attempt * 200 * time.Millisecond)
		limited, cancel := context.WithTimeout(ctx, time.Minute)
		if err = stream(limited, pb.NewGenerationServiceClient(connection), request); err == nil {
			return
		}
		cancel()
	}
	fmt.Fprintf(os.Stderr, "%s: %s\n", status.Code(err), status.Convert(err).Message())
	os.Exit(1)
}
