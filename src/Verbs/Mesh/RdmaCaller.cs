// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Transfer;
using Mooncake.Mesh.Verbs.Transfers;

namespace Mooncake.Mesh.Verbs.Mesh;

/// <summary>
/// A process that has put, and the queue pairs it has connected. Its requests bear a number, which it raises whenever
/// it has broken all of them to be sure that nothing of its memory is read any more: what began under an earlier number
/// is given up before anything is done under a later one, or it would go on over the queue pairs that are made next.
/// Thread-safe.
/// </summary>
internal sealed class RdmaCaller(RdmaPeer peer)
{
    private readonly Lock _gate = new();
    private readonly List<RdmaBatch> _running = [];
    private Task _cleared = Task.CompletedTask;
    private ulong? _number;

    /// <summary>Its queue pairs.</summary>
    public RdmaPeer Peer => peer;

    /// <summary>Ends what began under an earlier number; false: this one is earlier itself.</summary>
    public async Task<bool> EnterAsync(ulong number)
    {
        Task cleared;
        lock (_gate)
        {
            if (IsEarlier(number))
                return false;
            if (_number != number)
                _cleared = ClearAsync([.. _running]);
            _number = number;
            cleared = _cleared;
        }

        await cleared;
        return true;
    }

    /// <summary>Moves the bytes of a batch within a time; when it has ended nothing more lands.</summary>
    public async Task<TransferOutcome> RunAsync(ulong number, RdmaBatch batch, TimeSpan limit, TimeProvider time)
    {
        Task<TransferOutcome> ended;
        lock (_gate)
        {
            if (IsEarlier(number))
                return TransferOutcome.Unreachable;
            _running.Add(batch);
            ended = peer.RunAsync(batch);
        }

        try
        {
            return await ended.EndsWithinAsync(limit, time, CancellationToken.None)
                ? await ended
                : await peer.GiveUpAsync(batch, TransferOutcome.Late);
        }
        finally
        {
            lock (_gate)
                _running.Remove(batch);
        }
    }

    /// <summary>Takes in a queue pair; false: it was asked for under an earlier number.</summary>
    public bool TryInstall(ulong number, Endpoint endpoint)
    {
        lock (_gate)
        {
            if (IsEarlier(number))
                return false;
            peer.Install(endpoint);
            return true;
        }
    }

    private async Task ClearAsync(RdmaBatch[] earlier)
    {
        foreach (var batch in earlier)
            await peer.GiveUpAsync(batch, TransferOutcome.Unreachable);
    }

    private bool IsEarlier(ulong number) => _number is { } present && (long)(number - present) < 0;
}
