// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Node.Serve;

/// <summary>
/// A node at rest wakes for a timer some ten times a second. By default a thread of the pool spins on after each piece
/// of work, which was half of such a node's load; requests do not pass the pool, so they gain nothing by it.
/// </summary>
internal static class RestingThreads
{
    /// <summary>Most rounds of a spin, as the runtime names it.</summary>
    private const string SpinLimit = "System.Threading.ThreadPool.UnfairSemaphoreSpinLimit";

    /// <summary>For the whole process, before anything runs on the pool.</summary>
    public static void Apply() => AppContext.SetData(SpinLimit, 0);
}
