// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Transfer;
using Mooncake.Mesh.Verbs.Memory;
using Mooncake.Mesh.Verbs.Queues;

namespace Mooncake.Mesh.Verbs.Mesh;

/// <summary>
/// Has a holder read the bytes of a put from our memory. It returns only when the holder's cards read nothing here any
/// more: once the holder has answered, or, where it does not, once the queue pairs to it are broken (rule A4).
/// </summary>
internal sealed class RdmaPull(RdmaEngine engine, RdmaTarget target, LocalMemory memory, NativeRange source)
{
    /// <summary>How long the answer may come after the time the holder was given.</summary>
    private static readonly TimeSpan AnswerSlack = TimeSpan.FromMilliseconds(50);
    private const int Tries = 3;

    /// <summary>Has the bytes of a reservation read.</summary>
    public async Task<TransferOutcome> RunAsync(ExtentWrite write, TimeSpan timeout, CancellationToken cancel)
    {
        long start = engine.Time.GetTimestamp();
        for (int i = 0; i < Tries; i++)
        {
            var left = engine.Time.LeftOf(timeout, start);
            if (left <= TimeSpan.Zero || cancel.IsCancellationRequested)
                return TransferOutcome.Late;
            // The holder reads over queue pairs that we make.
            if (await ConnectAsync(left, cancel) is { } failed)
                return failed;
            left = engine.Time.LeftOf(timeout, start);
            var request = new VerbsPullRequest(target.Number, write.ReservationId, memory.Region,
                source.Length == 0 ? 0 : source.Address - memory.Range.Address, source.Length, KeysOf(),
                (int)Math.Max(1, left.TotalMilliseconds));
            var answer = await target.Channel.CallAsync<VerbsPullRequest, VerbsPullAnswer>(request,
                left + AnswerSlack, cancel);
            if (!answer.Succeeded)
            {
                await target.BreakAllAsync();
                return answer.Error!.Code is MeshErrorCode.DeadlineExceeded or MeshErrorCode.Cancelled
                    ? TransferOutcome.Late
                    : TransferOutcome.Unreachable;
            }

            target.Peer.Break(answer.Value.Broken);
            switch (answer.Value.Code)
            {
                case PullCode.Done:
                    return TransferOutcome.Done;
                case PullCode.NoReservation:
                    return TransferOutcome.Stale;
                case PullCode.Late:
                    return TransferOutcome.Late;
                default:
                    continue;
            }
        }

        return TransferOutcome.Unreachable;
    }

    /// <summary>Waits until a queue pair is there; null, or how the transfer ends without one.</summary>
    private async Task<TransferOutcome?> ConnectAsync(TimeSpan left, CancellationToken cancel)
    {
        var ready = target.Peer.ReadyAsync();
        try
        {
            if (!await ready.EndsWithinAsync(left, engine.Time, cancel))
                return TransferOutcome.Late;
            return await ready ? null : TransferOutcome.Unreachable;
        }
        catch (OperationCanceledException)
        {
            return TransferOutcome.Late;
        }
    }

    private uint[] KeysOf()
    {
        uint[] keys = new uint[engine.Rails.Count * memory.Parts];
        for (int card = 0; card < engine.Rails.Count; card++)
            memory.CopyKeys(card, keys.AsSpan(card * memory.Parts, memory.Parts));
        return keys;
    }
}
