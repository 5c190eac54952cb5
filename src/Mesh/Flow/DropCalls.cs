// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Control;

namespace Mooncake.Mesh.Flow;

/// <summary>Tells the holders of an object that was removed, replaced or lost to drop it.</summary>
internal sealed class DropCalls(FlowContext context)
{
    private static readonly TimeSpan Timeout = TimeSpan.FromMilliseconds(500);

    /// <summary>
    /// Ends when every holder that could be reached has changed the generation. One that could not drops the object
    /// when it reconciles.
    /// </summary>
    public async Task TellAsync(MeshKey key, ObjectRecord record, Deadline deadline, CancellationToken cancel)
    {
        foreach (var replica in record.Replicas)
        {
            if (context.View.FindIncarnation(replica.Incarnation) is { } holder)
            {
                await context.Calls.DropAsync(holder, new DropRequest([new RetractItem(key, record.ObjectId)]),
                    deadline.AtMost(Timeout), cancel);
            }
        }
    }

    /// <summary>The same of several objects that had the key, one after the other.</summary>
    public async Task TellAllAsync(MeshKey key, List<ObjectRecord> records, Deadline deadline,
        CancellationToken cancel)
    {
        foreach (var record in records)
            await TellAsync(key, record, deadline, cancel);
    }
}
