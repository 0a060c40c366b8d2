import Topology

/// A control machine and two cells with one host each.
func smallTopology() throws -> Topology {
    try TopologyDocument.read(
        """
        apiVersion: cellwright/v1
        name: t
        hosts: [{ name: c1, address: 10.0.0.1 }]
        cells:
          - name: north
            hosts: [{ name: n1, address: 10.0.0.2 }]
          - name: south
            hosts: [{ name: s1, address: 10.0.0.3 }]
        """, file: "t.yaml")
}
