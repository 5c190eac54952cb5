// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.TestSupport;

/// <summary>
/// Counts what something allocates on the thread that does it. A single count may hold what the runtime makes once
/// (the first sleep in a wait, the first use of a type), so the least of several is what the thing itself costs.
/// </summary>
internal static class Allocations
{
    private const int Passes = 5;

    /// <summary>Bytes that an action allocates on the calling thread each time: the least of several.</summary>
    internal static long Of(Action action)
    {
        long least = long.MaxValue;
        for (int i = 0; i < Passes; i++)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            action();
            least = Math.Min(least, GC.GetAllocatedBytesForCurrentThread() - before);
        }

        return least;
    }
}
