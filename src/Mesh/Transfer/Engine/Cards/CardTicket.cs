// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Transfer.Engine.Batches;

namespace Mooncake.Mesh.Transfer.Engine.Cards;

/// <summary>
/// One lane of a work that goes over cards: it takes pieces, has them moved, and takes more, until none is left. No
/// thread waits for it. What the cards cannot do is left to another way.
/// </summary>
/// <param name="work">The work.</param>
/// <param name="route">The cards' way to the peer.</param>
/// <param name="leave">Gives what is left to another way; null: there is none.</param>
internal sealed class CardTicket(EngineWork work, ICardRoute route, Action<EngineWork>? leave) : TransferJob, IStoppable
{
    /// <summary>Lanes of a work: while one ends and takes more, the others keep the cards busy.</summary>
    public const int Lanes = 4;

    /// <summary>How long a peer that is not reached is tried again, where there is no other way.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);

    private readonly CancellationTokenSource _stop = new();

    /// <summary>Does it, and ends the job.</summary>
    public async Task RunAsync()
    {
        var entries = EngineArrays<EngineEntry>.Pool.Rent(EngineRequest.MostEntries);
        bool left = false;
        int count;
        while (!left && TryBegin(this)
            && (count = work.Take(entries.AsSpan(0, EngineRequest.MostEntries), out var opcode)) > 0)
        {
            await route.MoveAsync(opcode, entries, count, leave is null ? Patience : TimeSpan.Zero, _stop.Token);
            left = leave is not null && !IsStopped && HasUnreachable(entries.AsSpan(0, count));
            if (left)
                work.PutBackUnreachable(entries.AsSpan(0, count));
            else
                work.Account(entries.AsSpan(0, count));
        }

        EngineArrays<EngineEntry>.Pool.Return(entries, clearArray: true);
        if (left)
            leave!(work);
        Finish(TransferOutcome.Done);
    }

    /// <inheritdoc/>
    void IStoppable.Stop() => _stop.Cancel();

    /// <inheritdoc/>
    protected override void Release()
    {
        work.TicketEnded();
        _stop.Dispose();
    }

    private static bool HasUnreachable(ReadOnlySpan<EngineEntry> entries)
    {
        foreach (ref readonly var entry in entries)
        {
            if (entry.Status == EntryStatus.Unreachable)
                return true;
        }

        return false;
    }
}
