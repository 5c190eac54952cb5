// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Verbs.Devices;

/// <summary>How many native objects of a device there are. Thread-safe.</summary>
internal sealed class VerbsCounts
{
    private long _alive;
    private long _refused;

    /// <summary>Objects that were made and not yet ended, the context and the domain among them.</summary>
    internal long Alive => Interlocked.Read(ref _alive);

    /// <summary>Objects whose end the library refused.</summary>
    internal long Refused => Interlocked.Read(ref _refused);

    internal void Made() => Interlocked.Increment(ref _alive);

    internal void Ended(bool gone)
    {
        Interlocked.Decrement(ref _alive);
        if (!gone)
            Interlocked.Increment(ref _refused);
    }
}
