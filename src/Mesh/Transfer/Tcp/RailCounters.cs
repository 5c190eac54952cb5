// SPDX-License-Identifier: Apache-2.0

// On the data path.
namespace Mooncake.Mesh.Transfer.Tcp;

/// <summary>What the rails of one process have done, to all peers together. Thread-safe.</summary>
/// <param name="cards">Our addresses.</param>
internal sealed class RailCounters(IReadOnlyList<string> cards)
{
    /// <summary>What the bytes are booked on that no rail could carry.</summary>
    public const string Endpoint = "endpoint";

    private readonly long[] _read = new long[cards.Count + 1];
    private long _retries;
    private long _pauses;

    /// <summary>Our addresses; one more number is that of the endpoint.</summary>
    public int Cards => cards.Count;

    /// <summary>Slices that failed on one rail and were given to another.</summary>
    public long Retries => Volatile.Read(ref _retries);

    /// <summary>Times a rail began to pause.</summary>
    public long Pauses => Volatile.Read(ref _pauses);

    /// <summary>Bytes read by each of our addresses, and by the endpoint while every rail paused.</summary>
    public IEnumerable<(string Rail, long Bytes)> Read()
    {
        for (int i = 0; i < cards.Count; i++)
            yield return (cards[i], Volatile.Read(ref _read[i]));
        yield return (Endpoint, Volatile.Read(ref _read[cards.Count]));
    }

    /// <summary>A slice has arrived.</summary>
    public void Arrived(int card, long bytes) => Interlocked.Add(ref _read[card], bytes);

    /// <summary>A slice is read again.</summary>
    public void Retried() => Interlocked.Increment(ref _retries);

    /// <summary>A rail pauses.</summary>
    public void Paused() => Interlocked.Increment(ref _pauses);
}
