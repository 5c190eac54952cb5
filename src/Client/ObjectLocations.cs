// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Control;
using Mooncake.Mesh.Flow;
using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Client;

/// <summary>Where objects are, by the position of their keys; what was so when it was asked.</summary>
public sealed class ObjectLocations
{
    private readonly Located _located;
    private readonly MeshView _view;

    internal ObjectLocations(Located located, MeshView view)
    {
        _located = located;
        _view = view;
    }

    /// <summary>Why a key has no answer; null when it has one.</summary>
    public MeshError? ErrorOf(int index) => _located.ErrorOf(index);

    /// <summary>Whether an object has this key; false too without an answer.</summary>
    public bool IsPresent(int index) => _located.IsAnswered(index) && _located.IsPresent(index);

    /// <summary>Size of the object in bytes; 0 when there is none.</summary>
    public long SizeOf(int index) => _located.ShapeOf(index).Size;

    /// <summary>Copies of the object; 0 when there is none.</summary>
    public int CopiesOf(int index) => _located.ShapeOf(index).Copies;

    /// <summary>Ids of the nodes that hold a copy.</summary>
    public IReadOnlyList<string> NodesOf(int index)
    {
        var nodes = new List<string>();
        foreach (Replica replica in _located.RecordOf(index)?.Replicas ?? [])
        {
            if (_view.FindIncarnation(replica.Incarnation) is { } node)
                nodes.Add(node.NodeId);
        }

        return nodes;
    }
}
