// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Control;

namespace Mooncake.Mesh.Directory;

/// <summary>
/// How old tombstones are (rule A9). In the table a tombstone's checksum is when it was written, in milliseconds of
/// this node's clock; on the way to another node it is its age, so that it lives no longer for every owner it had.
/// </summary>
internal sealed class TombstoneClock(TimeProvider time)
{
    /// <summary>How long a tombstone lives.</summary>
    public static readonly TimeSpan Life = TimeSpan.FromMinutes(10);

    /// <summary>A record as the table keeps it, from one as it travels.</summary>
    public ObjectRecord Kept(ObjectRecord record)
    {
        if (!record.Removed)
            return record;
        // An age that no tombstone reaches is no age.
        ulong age = record.Checksum <= (ulong)Life.TotalMilliseconds ? record.Checksum : 0;
        return record with { Checksum = unchecked((ulong)Now() - age), Replicas = [] };
    }

    /// <summary>A record as it travels, from one as the table keeps it.</summary>
    public ObjectRecord Sent(ObjectRecord record) => record.Removed
        ? record with { Checksum = (ulong)Math.Max(0, Now() - unchecked((long)record.Checksum)) }
        : record;

    /// <summary>Whether a tombstone of the table has lived for <paramref name="age"/>.</summary>
    public bool IsOlderThan(RecordRef record, TimeSpan age) =>
        Now() - unchecked((long)record.Checksum) > (long)age.TotalMilliseconds;

    /// <summary>The records of a list as they travel.</summary>
    public void Send(List<KeyedRecord> records)
    {
        for (int i = 0; i < records.Count; i++)
            records[i] = records[i] with { Record = Sent(records[i].Record) };
    }

    private long Now() => time.GetTimestamp() / (time.TimestampFrequency / 1000);
}
