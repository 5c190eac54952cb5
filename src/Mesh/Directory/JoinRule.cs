// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Control;

namespace Mooncake.Mesh.Directory;

/// <summary>Whether an offered copy may become one more replica of the object that has the key (rule A6).</summary>
internal interface IJoinRule
{
    /// <summary>Whether the offer is a copy of what is on record.</summary>
    bool MayJoin(ObjectRecord record, ObjectRecord offer);
}

/// <summary>
/// Rule A6, first put wins: a copy joins only with the same objectId, or with equal size and checksum, both present,
/// from a holder that has none yet. Anything else is another object, and a copy too many.
/// </summary>
internal sealed class JoinRule : IJoinRule
{
    /// <inheritdoc/>
    public bool MayJoin(ObjectRecord record, ObjectRecord offer) => record.ObjectId == offer.ObjectId
        || (HasSameBytes(record, offer) && !Holds(record, offer.Replicas[0].Incarnation));

    /// <summary>Whether two objects are equal as far as size and checksum can tell; 0 is no checksum.</summary>
    private static bool HasSameBytes(ObjectRecord record, ObjectRecord offer) =>
        record.Size == offer.Size && record.Checksum == offer.Checksum && offer.Checksum != 0;

    private static bool Holds(ObjectRecord record, ulong incarnation)
    {
        foreach (var replica in record.Replicas)
        {
            if (replica.Incarnation == incarnation)
                return true;
        }

        return false;
    }
}
